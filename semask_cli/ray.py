"""Segmenting with Ray Data (`pip install 'semask[ray]'`): a Dataset of images in, a Dataset of masks out.

    import ray, semask_cli.ray

    images = ray.data.read_parquet("s3://bucket/images.parquet")     # columns id, and path or bytes
    masks = semask_cli.ray.segment(images, "swin-l-m2f", num_gpus=1, concurrency=(1, 8))
    masks.write_parquet("s3://bucket/masks")

Ray makes lost actors again and gives their batches to others; what cannot be segmented is a row with an error.
"""

from __future__ import annotations

import io
import logging
import os
import socket
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semask_cli.distributed.answers import Answer, error_of, shares_of
from semask_cli.distributed.parts import arrow_schema
from semask_cli.distributed.prediction import Outcome, Run
from semask_cli.distributed.segment_batch import SegmentBatch
from semask_cli.errors import SemaskError, UsageError
from semask_cli.output.paths import Task

if TYPE_CHECKING:
    import pyarrow
    from ray.data import Dataset

CHUNK = 100_000
"""Images that are handed to the cluster at a time, so that the list of all of them need not be held."""

BATCH_SIZE = 8
MOST_BLOCKS = 1000
"""Parts of a chunk: results are known, and written, when a part is done."""

_VARIABLES = ("SEMASK_", "OMP_", "PYTHONPATH")
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
    least, most = (concurrency, concurrency) if isinstance(concurrency, int) else concurrency
    from ray.data import ActorPoolStrategy

    return dataset.map_batches(
        _ArrowBatch,
        fn_constructor_kwargs={"model": model, **options},
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
        _refuse_silence(address)
        ray.init(address=address, runtime_env={"env_vars": variables}, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError) as error:  # a ConnectionError is an OSError
        raise UsageError(f"no Ray cluster answers at {address}: {error}", "Start one: ray start --head.") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    with redirect_stdout(sys.stderr):  # Ray tells there what has died, in its shutdown too; stdout is for results
        try:
            yield
        finally:
            ray.shutdown()


@dataclass(frozen=True, slots=True, kw_only=True)
class Actors:
    """How many actors there are at most, and what each of them takes."""

    most: int
    num_cpus: int
    num_gpus: int

    @classmethod
    def of_cluster(cls, *, device: str, threads: int | None) -> Actors:
        """As many as fill the cluster that this process has joined: one a GPU, or one for every `threads` cores."""
        import ray

        resources, num_cpus = ray.cluster_resources(), threads or 1
        gpus = int(resources.get("GPU", 0)) if device != "cpu" else 0
        most = gpus or int(resources.get("CPU", 1)) // num_cpus
        return cls(most=max(1, most), num_cpus=num_cpus, num_gpus=1 if gpus else 0)


def settings_on_ray(model: str | None, actors: Actors, **options: Any) -> dict[str, Any]:
    """The settings of a model, which is loaded where the actors will run, with the weights that are there.

    Raises:
        SemaskError: it cannot be loaded.
    """
    import ray

    @ray.remote(num_cpus=actors.num_cpus, num_gpus=actors.num_gpus)
    def settings(batch: SegmentBatch) -> dict[str, Any] | SemaskError:
        try:
            return batch.segmenter.settings
        except SemaskError as error:
            return error

    batch = SegmentBatch(model, threads=actors.num_cpus, device="cuda" if actors.num_gpus else "cpu", **options)
    found = ray.get(settings.remote(batch))
    if isinstance(found, SemaskError):
        raise found
    return found


def labels_on_ray(
    images: Iterable[tuple[str, Path]], model: str | None, actors: Actors, **options: Any
) -> Iterator[NDArray[np.uint8]]:
    """The labels of images (id and path), uint8 (H, W), in order; they travel as grey PNG, which loses nothing.

    Raises:
        SemaskError: of an image that cannot be read, in its place.
    """
    pending = iter(images)
    while chunk := list(islice(pending, CHUNK)):
        rows = [{"id": id, "path": os.path.abspath(path)} for id, path in chunk]
        results = _segmented(rows, model, actors, save=("index",), **options)
        for row, (id, _) in zip(results, chunk, strict=True):
            assert row["id"] == id
            if row["error"]:
                raise error_of(row["error"])
            yield np.asarray(Image.open(io.BytesIO(row["index"])))


def _refuse_silence(address: str) -> None:
    """Ray itself would wait for minutes for a host that does not answer.

    Raises:
        OSError: nothing answers at "host:port" or "ray://host:port"; other addresses are Ray's to judge.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


def segment_on_ray(
    run: Run, model: str | None, actors: Actors, *, palette: NDArray[np.uint8], **options: Any
) -> Generator[Outcome, None, None]:
    """The outcomes of a run on the cluster that this process has joined, in order. This process writes the files.

    `palette` (K, 3) are the colours of the model's classes, `options` those of `SegmentBatch`.
    """
    pending = run.pending()
    while tasks := list(islice(pending, CHUNK)):
        for task in tasks:
            if task.error:
                yield Outcome(task=task, answer=run.write(task, Answer(error=task.error)))
        sound = {task.entry.id: task for task in tasks if not task.error}
        rows = [{"id": id, "path": _everywhere(task)} for id, task in sound.items()]
        for row in _segmented(rows, model, actors, **options):
            task = sound[row["id"]]
            yield Outcome(task=task, answer=run.write(task, _answer(task, row, palette)))


def _segmented(rows: list[dict[str, str]], model: str | None, actors: Actors, **options: Any) -> Iterator[Any]:
    """The rows of `segment`, in order."""
    import ray.data

    if rows:
        blocks = max(1, min(MOST_BLOCKS, len(rows) // BATCH_SIZE))
        results = segment(
            ray.data.from_items(rows, override_num_blocks=blocks),
            model,
            concurrency=(1, actors.most),
            num_gpus=actors.num_gpus,
            num_cpus=actors.num_cpus,
            **options,
        )
        yield from results.iter_rows()


def _everywhere(task: Task) -> str:
    """Where the image is, as other processes find it."""
    return os.path.abspath(task.entry.path) if isinstance(task.entry.path, Path) else str(task.entry.path)


def _answer(task: Task, row: Mapping[str, Any], palette: NDArray[np.uint8]) -> Answer:
    if row["error"]:
        return Answer(error=error_of(row["error"]))
    files = {kind: row[kind] for kind in task.files}
    shares = shares_of(row["classes"], palette)
    return Answer(width=row["width"], height=row["height"], files=files, classes=shares)
