import os
import subprocess
import sys

import pytest

import miniature
from semask_cli.datasets import find_dataset, read_labels


@pytest.fixture
def semask(tmp_path):
    """Run the real command line; its journals go to a cache of its own."""

    def run(*arguments, ok=True, launcher=(sys.executable,), **environment):
        command = [*launcher, "-m", "semask_cli", *map(str, arguments)]
        env = {**os.environ, "SEMASK_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        done = subprocess.run(command, capture_output=True, text=True, env={**env, **environment}, check=False)
        assert not ok or done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def planted(tmp_path):
    """Write a miniature dataset and predictions for it: (root, folder of masks)."""

    def plant(name, layout, count=6):
        root, masks = tmp_path / name / layout, tmp_path / f"masks-{name}-{layout}"
        miniature.write(root, name, layout, count=count)
        dataset = find_dataset(name, root=root)
        for seed, picture in enumerate(dataset.pictures):
            labels = read_labels(picture.label, dataset.coding)
            predicted = miniature.prediction(labels, len(dataset.classes), seed)
            miniature.save_palette(masks / f"{picture.id}.png", predicted, dataset.classes.palette)
        return root, masks

    return plant
