from functools import partial

import numpy as np
import pytest

from semask_cli.datasets.folders import ROOT_VARIABLES
from tests.support import miniature


@pytest.fixture(autouse=True)
def _quiet_machine(monkeypatch):
    """No dataset of the user's is found, and many processes at once take a core each."""
    for name in ROOT_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def planted(tmp_path):
    """Write a miniature dataset and predictions for it: planted("ade20k", "annotations") -> (root, folder of masks)."""
    return partial(miniature.plant, tmp_path)


@pytest.fixture
def official(monkeypatch):
    """The benchmark's evaluation of [(prediction, labelIds)] files, as its result dictionary."""
    if not hasattr(np, "in1d"):  # the program predates NumPy 2.4
        monkeypatch.setattr(np, "in1d", np.isin, raising=False)
    program = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    monkeypatch.setattr(program.args, "quiet", True)
    monkeypatch.setattr(program.args, "JSONOutput", False)
    monkeypatch.setattr(program.args, "evalInstLevelScore", True)

    def evaluate(pairs):
        return program.evaluateImgLists([str(p) for p, _ in pairs], [str(t) for _, t in pairs], program.args)

    return evaluate
