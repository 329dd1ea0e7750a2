"""training/train.py: the same scenes and plan give the same weights, to the last bit, killed on the way or not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from training import train

RECIPE = train.Recipe(train_scenes=4, val_scenes=1, steps=4, batch=2, warmup=1, checkpoint_every=2, log_every=2)


class KilledError(Exception):
    """In place of a kill."""


@pytest.mark.slow
def test_a_run_repeats_to_the_last_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = train.fpn_task(RECIPE)
    train.render_scenes(tmp_path, task)
    once = trained(tmp_path, task)
    again = trained(tmp_path, task)
    with monkeypatch.context() as patch:
        patch.setattr(train.Run, "save", saved_and_killed(train.Run.save))
        with pytest.raises(KilledError):
            trained(tmp_path, task)
    resumed = trained(tmp_path, task, fresh=False)
    for other in (again, resumed):
        assert other.keys() == once.keys()
        assert all(torch.equal(tensor, once[name]) for name, tensor in other.items())
    longer = train.fpn_task(dataclasses.replace(RECIPE, steps=5))
    assert any(not torch.equal(tensor, once[name]) for name, tensor in trained(tmp_path, longer).items())


def trained(work: Path, task: train.Task, *, fresh: bool = True) -> dict[str, Tensor]:
    """The averaged weights at the end of a run."""
    checkpoint = work / "toy-street-fpn.pt"
    if fresh:
        checkpoint.unlink(missing_ok=True)
    train.train(work, task)
    state: dict[str, Tensor] = torch.load(checkpoint, weights_only=True)["average"]
    return state


def saved_and_killed(save: object) -> object:
    def killed(run: train.Run, path: Path) -> None:
        save(run, path)  # type: ignore[operator]
        raise KilledError

    return killed
