"""The reference figures in tests/golden, and the checkpoints that reproduce them.

Large arrays are stored as samples; `Figure.sampled` takes the same entries of ours.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from semask_cli.checkpoints.loading import assemble
from semask_cli.checkpoints.matching import on_meta
from semask_cli.models.network import Network
from semask_cli.zoo import load_zoo
from tests.support import filled

GOLDEN = Path(__file__).parents[1] / "golden"


@dataclass(frozen=True)
class Figure:
    """One file of tests/golden: its arrays, and in `meta` how they were made."""

    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]

    def __getitem__(self, key: str) -> np.ndarray:
        return self.arrays[key]

    @property
    def image(self) -> np.ndarray:
        """The image that the figure was computed from."""
        return filled.image(self.meta["H"], self.meta["W"], self.meta["seed"])

    def sampled(self, key: str, values: np.ndarray) -> np.ndarray:
        """The entries of `values` that the file holds for `key`, in its order."""
        entry = self.meta["sampled"].get(key)
        if entry is None:
            return values
        assert list(values.shape) == entry["shape"], key
        chosen = np.sort(np.random.RandomState(0).choice(values.size, entry["n"], replace=False))
        return values.reshape(-1)[chosen]

    def error(self, key: str, values: np.ndarray) -> float:
        """The greatest absolute difference."""
        return float(np.abs(self.sampled(key, values) - self[key]).max())

    def relative_error(self, key: str, values: np.ndarray) -> float:
        """The difference relative to the figure itself: |a - b| / |b|."""
        ours, theirs = self.sampled(key, values).astype(np.float64), self[key].astype(np.float64)
        return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))

    def spread_error(self, key: str, values: np.ndarray) -> float:
        """The difference relative to how much the figure varies: |a - b| / |b - mean b|."""
        ours, theirs = self.sampled(key, values).astype(np.float64), self[key].astype(np.float64)
        return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs - theirs.mean()))


def figure(path: str | Path) -> Figure:
    """The figure at `path` below tests/golden."""
    with np.load(GOLDEN / path) as file:
        arrays = {key: file[key] for key in file.files}
    return Figure(arrays, json.loads(str(arrays.pop("meta"))))


def figures(pattern: str) -> list[Path]:
    """The figures that match, relative to tests/golden."""
    found = sorted(path.relative_to(GOLDEN) for path in GOLDEN.glob(pattern))
    assert found, pattern
    return found


def manifest(row: str) -> dict[str, Any]:
    """Names and shapes of all tensors in the row's published file, and its number of trainable parameters."""
    document: dict[str, Any] = json.loads((GOLDEN / "manifest" / f"{row}.json").read_text())
    return document


def published_state(row: str) -> dict[str, torch.Tensor]:
    """Deterministic weights under the row's published names."""
    entry = manifest(row)
    values = {n: torch.from_numpy(v) for n, v in filled.state_dict(entry["tensors"].items()).items()}
    # Tensors that are one module under two names: the last name's value holds.
    for *others, last in entry.get("shared", []):
        values.update(dict.fromkeys(others, values[last]))
    return values


def published_network(row: str) -> Network:
    """The row's network with these weights."""
    network = on_meta(load_zoo().find(row))
    assemble(network, published_state(row))
    return network.requires_grad_(False)


def write_checkpoint(row: str, path: Path) -> Path:
    """A file of the published structure with deterministic weights."""
    state = published_state(row)
    if row.endswith("-fpn") or "-fpn-" in row:
        torch.save({"meta": {"CLASSES": ("a", "b"), "PALETTE": [[0, 0, 0]]}, "state_dict": state}, path)
    else:
        torch.save({"model": state, "optimizer": {}, "iteration": 1}, path)
    return path
