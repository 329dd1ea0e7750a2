"""Segmenting with Ray Data (`pip install 'semask[ray]'`): a Dataset of images in, a Dataset of masks out.

    import ray, semask_cli.ray

    images = ray.data.read_parquet("s3://bucket/images.parquet")     # columns id, and path or bytes
    masks = semask_cli.ray.segment(images, "swin-l-m2f", num_gpus=1, concurrency=(1, 8))
    masks.write_parquet("s3://bucket/masks")

Ray restarts lost actors and gives their batches to others; what cannot be segmented is a row with an error.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from semask_cli.distributed.answers import Answer, Outputs, as_text, error_of, shares_of
from semask_cli.distributed.parts import arrow_schema
from semask_cli.distributed.prediction import Outcome, Run
from semask_cli.distributed.segment_batch import SegmentBatch
from semask_cli.errors import SemaskError, UsageError
from semask_cli.output.paths import Task

if TYPE_CHECKING:
    import pyarrow
    from ray.data import Dataset

    from semask_cli.inference.segmenter import Segmenter

CHUNK = 100_000
"""Images that are handed to the cluster at a time, so that the list of all of them need not be held."""

BATCH_SIZE = 8
MAX_BLOCKS = 1000
"""Parts of a chunk: results are known, and written, when a part is done."""

_STORE_REQUESTS = 32  # at a time
_VARIABLES = ("SEMASK_", "OMP_", "PYTHONPATH")
Value = TypeVar("Value")

_INSTALL = "Install it: pip install 'semask[ray]'."


def segment(
    dataset: Dataset,
    model: str | None = None,
    /,
    *,
    num_gpus: float = 0,
    num_cpus: int = 1,
    concurrency: int | tuple[int, int] = 1,
    batch_size: int = BATCH_SIZE,
    **options: Any,
) -> Dataset:
    """The dataset of the images' masks and classes, as `SegmentBatch` has them.

    Args:
        dataset: rows with an `id`, a text, and a `path` that every node can read, or the encoded image as `bytes`.
        model: a row of the zoo, as for `semask_cli.load`.
        num_gpus: of each actor; with 0 it computes on the CPU.
        num_cpus: of each actor, and the threads that it computes with.
        concurrency: the number of actors, or the least and the most.
        batch_size: rows that an actor takes at a time.
        options: as for `SegmentBatch`; a `dataset` among them completes the model's name.
    """
    options = {"threads": num_cpus, "device": "cuda" if num_gpus else "cpu", **options}
    return _mapped(
        dataset,
        _ArrowBatch,
        {"model": model, **options},
        num_gpus=num_gpus,
        num_cpus=num_cpus,
        actors=(concurrency, concurrency) if isinstance(concurrency, int) else concurrency,
        batch_size=batch_size,
    )


def _mapped(
    dataset: Dataset,
    work: type[SegmentBatch],
    options: Mapping[str, Any],
    *,
    num_gpus: float,
    num_cpus: int,
    actors: tuple[int, int],
    batch_size: int,
) -> Dataset:
    from ray.data import ActorPoolStrategy

    least, most = actors
    return dataset.map_batches(
        work,
        fn_constructor_kwargs=dict(options),
        batch_size=batch_size,
        num_gpus=num_gpus or None,
        num_cpus=num_cpus,
        compute=ActorPoolStrategy(min_size=least, max_size=most),
    )


class _ArrowBatch(SegmentBatch):
    """The same as an Arrow table: its columns have a type though a batch may hold nothing but errors."""

    def __call__(self, rows: Any) -> pyarrow.Table:
        import pyarrow

        return pyarrow.table(super().__call__(rows), schema=arrow_schema(self.outputs.kinds))


@contextmanager
def cluster(address: str) -> Iterator[None]:
    """The cluster at `address`, or, with "local", one of this machine alone, for as long as the block runs.

    Meanwhile `sys.stdout` is stderr.

    Raises:
        UsageError: Ray is not installed, or nothing answers there.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its errors come as exceptions too
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UsageError(f"--ray needs Ray: {error}", _INSTALL) from error
    variables = {name: value for name, value in os.environ.items() if name.startswith(_VARIABLES)}
    try:
        _refuse_unreachable(address)
        ray.init(address=address, runtime_env={"env_vars": variables}, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError) as error:  # a ConnectionError is an OSError
        raise UsageError(f"no Ray cluster answers at {address}: {error}", "Start one: ray start --head.") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    with redirect_stdout(sys.stderr):  # Ray reports there what has died, in its shutdown too; stdout is for results
        try:
            yield
        finally:
            ray.shutdown()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterModel:
    """A model on the cluster that this process has joined: each actor loads it for itself.

    There are as many actors at most as fill the cluster: one a GPU, or one for every `num_cpus` cores. `options` are
    those of `SegmentBatch`, which complete the model's name.
    """

    model: str | None
    most_actors: int
    num_cpus: int
    num_gpus: int
    options: Mapping[str, Any]

    @classmethod
    def on_cluster(cls, model: str | None, *, device: str, threads: int | None, **options: Any) -> ClusterModel:
        """On what the cluster has now."""
        import ray

        resources, num_cpus = ray.cluster_resources(), threads or 1
        gpus = int(resources.get("GPU", 0)) if device != "cpu" else 0
        most = gpus or int(resources.get("CPU", 1)) // num_cpus
        return cls(
            model=model,
            most_actors=max(1, most),
            num_cpus=num_cpus,
            num_gpus=1 if gpus else 0,
            options={**options, "threads": num_cpus, "device": "cuda" if gpus else "cpu"},
        )

    def ask(self, question: Callable[[Segmenter], Value]) -> Value:
        """What `question` says of the model, which is loaded where the actors will run, with the weights there.

        Raises:
            SemaskError: it cannot be loaded.
        """
        import ray

        @ray.remote(num_cpus=self.num_cpus, num_gpus=self.num_gpus)
        def answer(batch: SegmentBatch) -> Value | SemaskError:
            try:
                return question(batch.segmenter)
            except SemaskError as error:
                return error

        found: Value | SemaskError = ray.get(answer.remote(SegmentBatch(self.model, **self.options)))
        if isinstance(found, SemaskError):
            raise found
        return found

    def map(self, rows: list[dict[str, str]], work: type[SegmentBatch], **options: Any) -> Iterator[Any]:
        """The rows that `work`, made with `options` too, makes of these, in order."""
        import ray.data

        if rows:
            blocks = max(1, min(MAX_BLOCKS, len(rows) // BATCH_SIZE))
            results = _mapped(
                ray.data.from_items(rows, override_num_blocks=blocks),
                work,
                {"model": self.model, **self.options, **options},
                num_gpus=self.num_gpus,
                num_cpus=self.num_cpus,
                actors=(1, self.most_actors),
                batch_size=BATCH_SIZE,
            )
            yield from results.iter_rows()

    def segmented(self, rows: list[dict[str, str]], **options: Any) -> Iterator[Any]:
        """As `segment`, in order."""
        return self.map(rows, _ArrowBatch, **options)


def _refuse_unreachable(address: str) -> None:
    """Refuse a host that does not answer: Ray itself would wait for minutes.

    Raises:
        OSError: nothing answers at "host:port" or "ray://host:port"; other addresses are Ray's to judge.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


def segment_on_ray(
    run: Run, model: ClusterModel, outputs: Outputs, *, palette: NDArray[np.uint8], max_pixels: int
) -> Generator[Outcome, None, None]:
    """The outcomes of a run on a cluster, in order. This process writes the files.

    `palette` (K, 3) are the colours of the model's classes.
    """
    saving = {name: getattr(outputs, name) for name in ("opacity", "tolerance", "top")}
    pending = run.pending()
    while tasks := list(islice(pending, CHUNK)):
        for task in tasks:
            if task.error:
                yield Outcome(task=task, answer=run.write(task, Answer(error=task.error)))
        sound = {as_text(task.entry.id): task for task in tasks if not task.error}
        with ThreadPoolExecutor(_STORE_REQUESTS) as pool:  # a store is asked about each image
            list(pool.map(run.reading, sound.values()))
        rows = [{"id": id, "path": _everywhere(task)} for id, task in sound.items()]
        for row in model.segmented(rows, save=outputs.kinds, max_pixels=max_pixels, **saving):
            task = sound[row["id"]]
            yield Outcome(task=task, answer=run.write(task, _answer(task, row, palette)))


def _everywhere(task: Task) -> str:
    """Where the image is, as other processes find it."""
    return os.path.abspath(task.entry.path) if isinstance(task.entry.path, Path) else str(task.entry.path)


def _answer(task: Task, row: Mapping[str, Any], palette: NDArray[np.uint8]) -> Answer:
    if row["error"]:
        return Answer(error=error_of(row["error"]))
    files = {kind: row[kind] for kind in task.files}
    shares = shares_of(row["classes"], palette)
    return Answer(width=row["width"], height=row["height"], files=files, classes=shares)
