"""The project's own files, beside the package or inside it."""

from __future__ import annotations

import pytest

from semask_cli.io.resources import project_file


def test_files_that_travel_with_the_package() -> None:
    assert project_file("weights.toml").is_file()
    assert (project_file("kernels") / "resize.cuh").is_file()


def test_an_incomplete_installation_says_so() -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.toml is missing from the installation at .*semask_cli"):
        project_file("none.toml")
