"""What goes by a device's number: kernels and labels on the second GPU, while the first is current."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import torch

from benchmarks.gpu.bench import Bench, Cases, Line
from benchmarks.gpu.engine import labels
from benchmarks.gpu.norms import norm_checks
from benchmarks.gpu.operators import checks

SECOND = torch.device("cuda", 1)


def second_device(bench: Bench) -> Cases:
    """The checks and the bundled models' labels once more, small; without a second GPU a line that says so."""
    count = torch.cuda.device_count()
    if count < 2:
        note = f"not measured: torch sees {count} GPU{'' if count == 1 else 's'}, and {SECOND} is the second"
        yield Line(section="second", name=str(SECOND)), lambda: {"note": note}
        return
    second = Bench(SECOND, tiny=True, folder=bench.folder)
    for line, measure in chain(checks(second), norm_checks(second), labels(second)):
        yield replace(line, section="second", mode=" ".join((line.section, line.mode)).strip()), measure
