"""What an evaluation was made from, and how: digests that others can recompute, and facts about the run."""

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
    """Fingerprints of what was evaluated, equal for every order of the images, as `fingerprint` makes them.

    `images` is over the bytes of the image files, `labels` over the class indices in label files, in whatever encoding,
    `predictions` over the predicted ones, and `counts` over all that was counted. `split` says in words whether this is
    the published split, as far as that can be known.
    """

    images: str
    labels: str
    predictions: str
    counts: str
    split: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a document came about, which its figures do not depend on but for rounding.

    `counted` images were predicted and counted in `milliseconds` by this process, one of `processes`; the others were
    in the journal. `processor` and `gpu` are what they ran on, `threads` those of torch (None without a network),
    `command` the arguments of the program. `masks` is the folder in which predictions were saved, if they were.
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
    """One digest of many files, from (id, SHA-256 in hexadecimal) of each: the sum modulo 2^256 of the SHA-256 of both.

    A sum does not depend on the order, and those of parts add up to that of the whole.
    """
    total = sum(
        int.from_bytes(hashlib.sha256(f"{key}\0{digest}".encode("utf-8", "backslashreplace")).digest())
        for key, digest in digests
    )
    return f"{total % 2**256:064x}"


def provenance(records: Sequence[Record], split: str) -> Provenance:
    """The fingerprints of `records`; `split` as the class says."""
    return Provenance(
        images=fingerprint((record.id, record.image) for record in records),
        labels=fingerprint((record.id, record.labels) for record in records),
        predictions=fingerprint((record.id, record.predicted) for record in records),
        counts=fingerprint((record.id, counts_digest(record)) for record in records),
        split=split,
    )


def counts_digest(record: Record) -> str:
    """SHA-256 of all that was counted for an image."""
    instances = [(i.label, i.pixels, i.right, i.right_category) for i in record.instances]
    # The numbers, not the text: programs that compress differ.
    confidence = unpacked(record.confidence, IGNORE).tolist() if record.confidence else []
    counted = [record.nonzero_counts, instances, record.boundaries, record.objects, confidence]
    return hashlib.sha256(json.dumps(counted, separators=(",", ":")).encode()).hexdigest()


class Clock:
    """Started when a run begins; `run` is the facts about it when it ends."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def run(self, settings: Settings, *, processes: int, counted: int, masks: Path | None) -> Run:
        """What is known of the run that has `settings`."""
        processor, gpu, threads = platform.processor() or platform.machine(), "", None
        if "model" in settings:  # or no network ran, and torch may not be there yet
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
            milliseconds=round(1000 * (time.monotonic() - self._begun)),
            masks=str(masks.resolve()) if masks else "",
        )
