"""A pickle read as data: an interpreter of its opcodes that builds plain values and inert records, and calls nothing.

Python's unpickler imports and calls whatever a file names. Here, names are looked up in a table of those in checkpoints
of torch and NumPy; a call becomes a record (`pickle_calls.py`), which `tensors.py` turns into a tensor after validating
all sizes. Opcodes are parsed by the standard library's `pickletools`.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from semask_cli.checkpoints.pickle_calls import CALLS, NAMES, filled
from semask_cli.checkpoints.records import ArrayRecord, DtypeRecord, Name, StorageRecord

MAX_OPCODES = 2_000_000  # a large model with its optimizer has some 200,000
COPY_ALLOWANCE = 64 << 20  # bytes that may be copied beyond what the file itself holds


class UnsafePickleError(Exception):
    """The pickle refers to something else than tensors, arrays and plain values. `args[0]` is its name."""


def read_pickle(file: BinaryIO, *, size: int, storages: dict[str, StorageRecord] | None = None) -> Any:
    """Read the pickle at the position of `file`, which must end before `size`; leaves `file` after it.

    The storages that it refers to are added to `storages` by key.

    Raises:
        UnsafePickleError: it refers to anything else than parts of tensors and arrays.
        ValueError: it is damaged, or needs more memory than a checkpoint of its size.
    """
    return _Interpreter(_Bounded(file, size), {} if storages is None else storages).run()


class _Bounded:
    """A file whose reads are limited to its size: lengths in a damaged pickle may be anything."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.size = file, size

    def read(self, length: int) -> bytes:
        return self._file.read(min(length, self.size - self._file.tell()))

    def readline(self) -> bytes:
        return self._file.readline(self.size - self._file.tell())

    def tell(self) -> int:
        return self._file.tell()


@dataclass(slots=True)
class _Interpreter:
    file: _Bounded
    storages: dict[str, StorageRecord]
    stack: list[Any] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)  # the stacks below each mark
    memo: dict[int, Any] = field(default_factory=dict)
    copied: int = 0

    def run(self) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(cast("BinaryIO", self.file))):
            if count > MAX_OPCODES:
                raise ValueError(f"more than {MAX_OPCODES} opcodes")
            if opcode.name == "STOP":
                return self.pop()
            if opcode.name in _CONSTANTS:
                self.push(_CONSTANTS[opcode.name])
            elif opcode.name in _LITERALS:
                self.push(argument)
            elif operation := _OPERATIONS.get(opcode.name):
                operation(self, argument)
            else:
                raise UnsafePickleError(f"the opcode {opcode.name}")
        raise ValueError("the pickle has no end")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack:
            raise ValueError("the pickle pops from an empty stack")
        return self.stack.pop()

    def pop_many(self, count: int) -> tuple[Any, ...]:
        return tuple(reversed([self.pop() for _ in range(count)]))

    def pop_mark(self) -> list[Any]:
        if not self.marks:
            raise ValueError("the pickle has no mark")
        items, self.stack = self.stack, self.marks.pop()
        return items

    def top(self, kind: type) -> Any:
        if not self.stack or type(self.stack[-1]) is not kind:
            raise ValueError(f"the pickle uses something else as a {kind.__name__}")
        return self.stack[-1]

    def charge(self, length: int) -> None:
        """Count copied bytes, so that a small file cannot demand much memory."""
        self.copied += length
        if self.copied > self.file.size + COPY_ALLOWANCE:
            raise ValueError("the pickle unpacks to many times its size")

    # -- opcodes

    def mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def get(self, index: Any) -> None:
        self.push(self.memo[int(index)])

    def put(self, index: Any) -> None:
        self.memo[len(self.memo) if index is None else int(index)] = self.stack[-1]

    def append(self, _: Any) -> None:
        item = self.pop()
        self.top(list).append(item)

    def appends(self, _: Any) -> None:
        items = self.pop_mark()
        self.top(list).extend(items)

    def set_item(self, _: Any) -> None:
        pair = self.pop_many(2)
        filled(self.top(dict), pair)

    def set_items(self, _: Any) -> None:
        items = self.pop_mark()
        filled(self.top(dict), items)

    def name(self, argument: str) -> None:
        self.push(_known_name(argument.replace(" ", ".", 1)))

    def stack_name(self, _: Any) -> None:
        module, name = self.pop_many(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a global whose name is not text")
        self.push(_known_name(f"{module}.{name}"))

    def persistent(self, _: Any) -> None:
        """torch's reference to a storage: ("storage", type, key, device, numel, …)."""
        reference = self.pop()
        if not isinstance(reference, tuple) or len(reference) < 5 or reference[0] != "storage":
            raise ValueError("a reference that is not torch's")
        _, kind, key, _, numel = reference[:5]
        if not isinstance(kind, Name) or not isinstance(key, str) or type(numel) is not int or numel < 0:
            raise ValueError("a storage without type, key or length")
        storage = StorageRecord(kind.name, key, numel)
        if self.storages.setdefault(key, storage) != storage:
            raise ValueError(f"two storages called {key!r:.100}")
        self.push(storage)

    def reduce(self, _: Any) -> None:
        target, arguments = self.pop_many(2)
        if not isinstance(target, Name) or not isinstance(arguments, tuple):
            raise ValueError("a call of something that is not a name")
        call = CALLS.get(target.name)
        if call is None:
            raise UnsafePickleError(f"a call of {target.name}")
        self.push(call(self.charge, *arguments))

    def build(self, _: Any) -> None:
        state = self.pop()
        built = self.pop()
        if isinstance(built, DtypeRecord) and isinstance(state, tuple) and len(state) > 1:
            built.order = state[1]
        elif isinstance(built, ArrayRecord) and built.data is None and isinstance(state, tuple) and len(state) == 5:
            _, built.shape, built.dtype, built.fortran, built.data = state
        elif type(built) is not dict:  # the attributes of an OrderedDict are left out
            raise ValueError(f"a state for a {type(built).__name__}")
        self.push(built)


def _known_name(name: str) -> Name:
    if name not in NAMES:
        raise UnsafePickleError(name)
    return Name(name)


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = frozenset((
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
))  # fmt: skip
_OPERATIONS: dict[str, Callable[[_Interpreter, Any], object]] = {
    "PROTO": lambda interpreter, _: None,
    "FRAME": lambda interpreter, _: None,
    "READONLY_BUFFER": lambda interpreter, _: None,
    "MARK": _Interpreter.mark,
    "POP": lambda interpreter, _: interpreter.pop(),
    "POP_MARK": lambda interpreter, _: interpreter.pop_mark(),
    "EMPTY_LIST": lambda interpreter, _: interpreter.push([]),
    "EMPTY_DICT": lambda interpreter, _: interpreter.push({}),
    "EMPTY_TUPLE": lambda interpreter, _: interpreter.push(()),
    "LIST": lambda interpreter, _: interpreter.push(interpreter.pop_mark()),
    "TUPLE": lambda interpreter, _: interpreter.push(tuple(interpreter.pop_mark())),
    "DICT": lambda interpreter, _: interpreter.push(filled({}, interpreter.pop_mark())),
    "TUPLE1": lambda interpreter, _: interpreter.push(interpreter.pop_many(1)),
    "TUPLE2": lambda interpreter, _: interpreter.push(interpreter.pop_many(2)),
    "TUPLE3": lambda interpreter, _: interpreter.push(interpreter.pop_many(3)),
    "APPEND": _Interpreter.append,
    "APPENDS": _Interpreter.appends,
    "SETITEM": _Interpreter.set_item,
    "SETITEMS": _Interpreter.set_items,
    "GET": _Interpreter.get,
    "BINGET": _Interpreter.get,
    "LONG_BINGET": _Interpreter.get,
    "PUT": _Interpreter.put,
    "BINPUT": _Interpreter.put,
    "LONG_BINPUT": _Interpreter.put,
    "MEMOIZE": _Interpreter.put,
    "GLOBAL": _Interpreter.name,
    "STACK_GLOBAL": _Interpreter.stack_name,
    "BINPERSID": _Interpreter.persistent,
    "REDUCE": _Interpreter.reduce,
    "BUILD": _Interpreter.build,
}
