import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _a_core_each(monkeypatch):
    """Many processes at once take a core each."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


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
