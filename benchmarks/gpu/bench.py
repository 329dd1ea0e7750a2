"""What the benchmarks on a GPU share: a line of the record, and a device with its clock and its peaks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the record. Bytes and operations are the least that the computation needs."""

    section: str
    name: str
    case: str = ""
    precision: str = ""
    batch: int = 1
    mode: str = ""
    milliseconds: float | None = None
    gb_per_s: float | None = None
    share_of_copy: float | None = None
    tflop_per_s: float | None = None
    share_of_matrix: float | None = None
    relative_error: float | None = None
    note: str = ""


WRONG = "WRONG"  # begins the note of a line whose result is

Run = Callable[[], object]
Measured = dict[str, Any]  # the columns of a line that measuring fills in
Cases = Iterator[tuple[Line, Callable[[], Measured]]]


class Bench:
    """The device, and the peaks that were measured on it: GB/s of a copy, TFLOP/s of matrix products.

    `tiny` asks for sizes that show nothing but that the script runs; `folder` takes what is no line of a record.
    """

    def __init__(self, device: torch.device, *, tiny: bool, folder: Path) -> None:
        self.device, self.tiny, self.folder = device, tiny, folder
        self.copy: float | None = None
        self.matrix: dict[str, float] = {}

    def random(self, *shape: int, precision: str = "fp32") -> Tensor:
        return torch.randn(shape, device=self.device).to(DTYPES[precision])

    def timed(
        self, runs: Sequence[Run], *, graph: bool = True, nbytes: float = 0, flop: float = 0, precision: str = "fp32"
    ) -> Measured:
        """The median time of one of the runs, and what that is of the peaks."""
        ms = self._milliseconds(runs, graph=graph)
        measured: Measured = {"milliseconds": ms}
        if nbytes:
            rate = nbytes / ms / 1e6
            measured |= {"gb_per_s": rate, "share_of_copy": rate / self.copy if self.copy else None}
        if flop:
            rate, peak = flop / ms / 1e9, self.matrix.get(precision)
            measured |= {"tflop_per_s": rate, "share_of_matrix": rate / peak if peak else None}
        return measured

    def wait(self) -> None:
        """For all that the device was asked to do."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _milliseconds(self, runs: Sequence[Run], *, graph: bool) -> float:
        def run_all() -> None:
            for run in runs:
                run()

        for _ in range(1 if self.tiny else 3):
            run_all()
        if self.device.type != "cuda":
            start = time.perf_counter()
            run_all()
            return 1000 * (time.perf_counter() - start) / len(runs)
        again: Run = run_all
        if graph:  # the host cannot slow down what a graph has captured
            captured, before = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
            try:
                with torch.cuda.graph(captured):
                    run_all()
            finally:
                torch.cuda.set_stream(before)  # a failed capture may leave its own
            again = captured.replay
        return median(_gpu_milliseconds(again) for _ in range(21)) / len(runs)


def _gpu_milliseconds(run: Run) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def peaks(bench: Bench) -> Cases:
    """What the device can do at best. Later lines are measured against it."""

    def copy() -> Measured:
        source = torch.zeros(1 << (20 if bench.tiny else 30), dtype=torch.uint8, device=bench.device)
        target = torch.empty_like(source)
        measured = bench.timed([lambda: target.copy_(source)], nbytes=2 * source.numel())
        bench.copy = measured["gb_per_s"]
        return measured

    def product(precision: str) -> Measured:
        size = 256 if bench.tiny else 8192
        a, b = (bench.random(size, size, precision=precision) for _ in range(2))
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        measured = bench.timed([lambda: a @ b], flop=2 * size**3, precision=precision)
        torch.set_float32_matmul_precision("highest")
        bench.matrix[precision] = measured["tflop_per_s"]
        return measured

    yield Line(section="peak", name="copy", case="1 GiB"), copy
    for precision in DTYPES:
        line = Line(section="peak", name="matrix product", case="8192 x 8192 x 8192", precision=precision)
        yield line, lambda precision=precision: product(precision)
