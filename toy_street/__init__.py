"""toy-street: rendered street scenes with exact labels in Cityscapes' classes, for demonstrations and tests.

A scene is a function of its seed. Training, validation and test scenes come from seeds that do not meet.
"""

from __future__ import annotations

from toy_street.dataset import write_cityscapes, write_folders
from toy_street.labels import Label
from toy_street.scene import Scene, render

TRAIN_SEEDS = range(0, 100_000)
VAL_SEEDS = range(100_000, 200_000)
TEST_SEEDS = range(200_000, 300_000)

__all__ = ["TEST_SEEDS", "TRAIN_SEEDS", "VAL_SEEDS", "Label", "Scene", "render", "write_cityscapes", "write_folders"]
