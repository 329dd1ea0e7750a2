"""Segmenting with Ray Data (`pip install 'semask[ray]'`): a Dataset of images in, a Dataset of masks out.

    import ray, semask_cli.ray

    images = ray.data.read_parquet("s3://bucket/images.parquet")     # columns id, and path or bytes
    masks = semask_cli.ray.segment(images, "swin-l-m2f", num_gpus=1, concurrency=(1, 8))
    masks.write_parquet("s3://bucket/masks")

Ray restarts lost actors and gives their batches to others. An image that cannot be segmented is a row with an error.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from semask_cli.distributed.answers import Answer, Outputs, as_text, error_of, shares_of
from semask_cli.distributed.parts import arrow_schema
from semask_cli.distributed.prediction import Outcome, Run
from semask_cli.distributed.segment_batch import SegmentBatch
from semask_cli.errors import SemaskError, UsageError
from semask_cli.io.storage import absolute
from semask_cli.output.kinds import Kind

if TYPE_CHECKING:
    import pyarrow
    from ray.data import Dataset

    from semask_cli.inference.segmenter import Segmenter

CHUNK = 100_000
"""Images handed to the cluster at a time, so that the list of all images is never held in memory."""

BATCH_SIZE = 8
MAX_BLOCKS = 1000
"""Of a chunk: results arrive, and are written, block by block."""

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
    """Segment a dataset of images, into a dataset with the columns of `SegmentBatch`.

    Args:
        dataset: rows with an `id` (text), and a `path` that every node can read, or the encoded image as `bytes`.
        model: a model of the zoo, as for `semask_cli.load`.
        num_gpus: GPUs per actor; with 0 it runs on the CPU.
        num_cpus: cores per actor, and its number of threads.
        concurrency: the number of actors, or its minimum and maximum.
        batch_size: rows per batch.
        options: as for `SegmentBatch`; a `dataset` completes the model's name.
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
    """`SegmentBatch` with Arrow tables as results, whose columns have types even if a batch holds only errors."""

    def __call__(self, rows: Any) -> pyarrow.Table:
        import pyarrow

        return pyarrow.table(super().__call__(rows), schema=arrow_schema(self.outputs.kinds))


@contextmanager
def cluster(address: str) -> Iterator[None]:
    """Connect to the cluster at `address`, or start one on this machine ("local"), while the block runs.

    Within the block `sys.stdout` is stderr.

    Raises:
        UsageError: Ray is not installed, or no cluster answers.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its errors are raised too
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UsageError(f"--ray needs Ray: {error}", _INSTALL) from error
    variables = {name: value for name, value in os.environ.items() if name.startswith(_VARIABLES)}
    try:
        _refuse_unreachable(address)
        with _without_stderr():
            ray.init(address, runtime_env={"env_vars": variables}, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError) as error:  # a ConnectionError is an OSError
        raise UsageError(f"no Ray cluster answers at {address}: {error}", "Start one: ray start --head.") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    with redirect_stdout(sys.stderr):  # Ray reports dead actors on stdout, even in its shutdown
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Without what Ray's core writes there, below Python, about its log level; its errors are raised."""
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterModel:
    """A model on the cluster that this process has joined; each actor loads its own copy.

    `max_actors` fill the cluster: one per GPU, or one per `num_cpus` cores. `options` are those of `SegmentBatch`.
    """

    model: str | None
    max_actors: int
    num_cpus: int
    num_gpus: int
    options: Mapping[str, Any]

    @classmethod
    def on_cluster(cls, model: str | None, *, device: str, threads: int | None, **options: Any) -> ClusterModel:
        """For the resources that the cluster has now."""
        import ray

        resources, num_cpus = ray.cluster_resources(), threads or 1
        gpus = int(resources.get("GPU", 0)) if device != "cpu" else 0
        actors = gpus or int(resources.get("CPU", 1)) // num_cpus
        return cls(
            model=model,
            max_actors=max(1, actors),
            num_cpus=num_cpus,
            num_gpus=1 if gpus else 0,
            options={**options, "threads": num_cpus, "device": "cuda" if gpus else "cpu"},
        )

    def ask(self, question: Callable[[Segmenter], Value]) -> Value:
        """The result of `question` for the model, which is loaded on a node of the cluster.

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
        """The results of `work(model, **options)` for these rows, in order."""
        import ray.data

        if rows:
            blocks = max(1, min(MAX_BLOCKS, len(rows) // BATCH_SIZE))
            results = _mapped(
                ray.data.from_items(rows, override_num_blocks=blocks),
                work,
                {"model": self.model, **self.options, **options},
                num_gpus=self.num_gpus,
                num_cpus=self.num_cpus,
                actors=(1, self.max_actors),
                batch_size=BATCH_SIZE,
            )
            yield from results.iter_rows()

    def segmented(self, rows: list[dict[str, str]], **options: Any) -> Iterator[Any]:
        """The rows of `segment`, in order."""
        return self.map(rows, _ArrowBatch, **options)


def _refuse_unreachable(address: str) -> None:
    """Check that "host:port" or "ray://host:port" answers: Ray itself would wait for minutes.

    Raises:
        OSError: nothing answers. Addresses of another form are left to Ray.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


def segment_on_ray(
    run: Run, model: ClusterModel, outputs: Outputs, *, palette: NDArray[np.uint8], max_pixels: int
) -> Generator[Outcome, None, None]:
    """The outcomes of a run on a cluster, in order; this process writes the files.

    `palette` (K, 3) uint8 has the RGB colours of the model's classes.
    """
    saving = {name: getattr(outputs, name) for name in ("opacity", "tolerance", "top")}
    pending = run.pending()
    while tasks := list(islice(pending, CHUNK)):
        for task in tasks:
            if task.error:
                yield Outcome(task=task, answer=run.write(task, Answer(error=task.error)))
        sound = {as_text(task.entry.id): task for task in tasks if not task.error}
        with ThreadPoolExecutor(_STORE_REQUESTS) as pool:  # one request per image of a store
            list(pool.map(run.reading, sound.values()))
        rows = [{"id": id, "path": absolute(task.entry.path)} for id, task in sound.items() if task.entry.path]
        for row in model.segmented(rows, save=outputs.kinds, max_pixels=max_pixels, **saving):
            task = sound[row["id"]]
            yield Outcome(task=task, answer=run.write(task, answer_of(row, outputs.kinds, palette)))


def answer_of(row: Mapping[str, Any], kinds: Sequence[Kind], palette: NDArray[np.uint8]) -> Answer:
    """The answer in a row of `segment` with these kinds of output; `palette` as for `segment_on_ray`."""
    if row["error"]:
        return Answer(error=error_of(row["error"]))
    return Answer(
        width=row["width"],
        height=row["height"],
        files={kind: row[kind] for kind in kinds},
        classes=shares_of(row["classes"], palette),
        milliseconds=row["milliseconds"],
    )
