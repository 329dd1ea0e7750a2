"""The origin of an evaluation: digests that others can recompute, and facts about the run."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from semask_cli.datasets import IGNORE
from semask_cli.evaluation.calibration import unpacked
from semask_cli.evaluation.journal import Settings
from semask_cli.evaluation.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Fingerprints of the inputs and counts, independent of the order of the images (see `fingerprint`).

    `images` is over the bytes of the image files, `labels` over the class indices of the labels, in whatever encoding,
    `predictions` over the predicted ones, and `counts` over all counts. `split` describes whether this is the published
    split, as far as that can be known.
    """

    images: str
    labels: str
    predictions: str
    counts: str
    split: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Facts about a run, on which figures depend only by rounding.

    `counted` images were predicted and counted in `milliseconds` by this process, one of `processes`; the others were
    in the journal. `processor` and `gpu` are the hardware, `threads` those of torch (None without a network), `command`
    the program's arguments. `masks` is the folder of the saved predictions, if any.
    """

    command: tuple[str, ...]
    platform: str
    processor: str
    gpu: str
    threads: int | None
    processes: int
    counted: int
    milliseconds: int
    masks: str


def fingerprint(digests: Iterable[tuple[str, str]]) -> str:
    """One digest of many files, given as (id, SHA-256 in hex): the sum modulo 2^256 of the SHA-256 of each pair.

    It does not depend on the order, and the fingerprints of parts add up to that of the whole.
    """
    total = sum(
        int.from_bytes(hashlib.sha256(f"{key}\0{digest}".encode("utf-8", "backslashreplace")).digest())
        for key, digest in digests
    )
    return f"{total % 2**256:064x}"


def provenance(records: Sequence[Record], split: str) -> Provenance:
    """The fingerprints of `records`; `split` as in Provenance."""
    return Provenance(
        images=fingerprint((record.id, record.image) for record in records),
        labels=fingerprint((record.id, record.labels) for record in records),
        predictions=fingerprint((record.id, record.predicted) for record in records),
        counts=fingerprint((record.id, counts_digest(record)) for record in records),
        split=split,
    )


def counts_digest(record: Record) -> str:
    """SHA-256 of all counts of an image."""
    instances = [(i.label, i.pixels, i.right, i.right_category) for i in record.instances]
    # The numbers, not the packed text: compressors differ.
    confidence = unpacked(record.confidence, IGNORE).tolist() if record.confidence else []
    counted = [record.nonzero_counts, instances, record.boundaries, record.objects, confidence]
    return hashlib.sha256(json.dumps(counted, separators=(",", ":")).encode()).hexdigest()


def run_facts(settings: Settings, *, begun: float, processes: int, counted: int, masks: Path | None) -> Run:
    """The facts about the run with these `settings`, which ends now; `begun` was its `time.monotonic()`."""
    processor, gpu, threads = platform.processor() or platform.machine(), "", None
    if "model" in settings:  # otherwise no network ran, and torch may not be imported
        import torch

        from semask_cli.ops.cpu import processor as name_processor

        processor, threads = name_processor(), torch.get_num_threads()
        gpu = torch.cuda.get_device_name() if settings["device"] == "cuda" else ""
    return Run(
        command=tuple(sys.argv),
        platform=platform.platform(),
        processor=processor,
        gpu=gpu,
        threads=threads,
        processes=processes,
        counted=counted,
        milliseconds=round(1000 * (time.monotonic() - begun)),
        masks=str(masks.resolve()) if masks else "",
    )
