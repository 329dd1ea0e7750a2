"""For a machine with a GPU: `pytest -m gpu`. Elsewhere none of it is collected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.gpu.bench import Bench, Cases
from benchmarks.gpu.engine import labels
from benchmarks.gpu.networks import networks
from benchmarks.gpu.norms import norm_checks
from benchmarks.gpu.operators import checks
from benchmarks.gpu.sections import failure
from semask_cli import load
from toy_street import TEST_SEEDS, render

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("section", [checks, norm_checks, labels, networks])
def test_what_the_benchmarks_check(section: Callable[[Bench], Cases], tmp_path: Path) -> None:
    """Kernels against float64, labels of the bundled models against the CPU's, replays against plain passes."""
    bench = Bench(torch.device("cuda"), tiny=True, folder=tmp_path)
    notes = {str(line): measure().get("note", "") for line, measure in section(bench)}
    assert not {line: note for line, note in notes.items() if failure(note)}


@pytest.mark.parametrize("model", ["toy-street-fpn", "toy-street-m2f"])
def test_a_prediction_in_steady_state_waits_for_its_labels_alone(model: str) -> None:
    segmenter = load(model, device="cuda")
    image = render(TEST_SEEDS[0]).image
    expected = [segmenter.predict(image).labels for _ in range(4)][-1]

    def the_wait_that_is_meant(tensor: torch.Tensor) -> torch.Tensor:
        torch.cuda.set_sync_debug_mode("default")
        return tensor.cpu()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("semask_cli.inference.merge.to_host", the_wait_that_is_meant)
        torch.cuda.set_sync_debug_mode("error")
        try:
            found = segmenter.predict(image).labels
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert (found == expected).all()
