"""One process alone, and the GPU that each of several takes. (test_resume runs several processes.)"""

import pytest
import torch

from semask_cli.distributed.world import World, join_world, world_of_torchrun
from semask_cli.errors import UsageError


def test_without_torchrun_the_world_is_one_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_world() as world:
        assert (world.rank, world.size) == (0, 1)
        assert world.share("all") == "all"
        assert world.device("auto") == "auto"


@pytest.mark.parametrize(("rank", "size"), [("2", "2"), ("-1", "2"), ("one", "2"), ("0", "9" * 5000), ("1", "")])
def test_processes_that_no_run_has_are_refused(monkeypatch, rank, size):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(UsageError, match="the environment describes no process of a run: RANK="):
        world_of_torchrun()


def test_empty_variables_are_none(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.setenv(name, "")
    assert world_of_torchrun() == World()


@pytest.mark.parametrize(
    ("name", "device"), [("auto", "cuda:1"), ("cuda", "cuda:1"), ("cpu", "cpu"), ("cuda:0", "cuda:0")]
)
def test_each_process_takes_a_gpu_of_its_own_unless_one_is_named(monkeypatch, name, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert World(rank=5, local_rank=3, size=8).device(name) == device


def test_without_gpus_the_choice_stays_open(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert World(rank=1, local_rank=1, size=2).device("auto") == "auto"
