"""The rooms of the package: tests are found by a module's name, and imports point downward only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "semask_cli"
FLOORS = (
    *("version", "errors", "io", "datasets", "zoo_values", "zoo", "ops", "models", "checkpoints"),
    *(
        "output",
        "inference",
        "quantization",
        "api",
        "distributed",
        "ray",
        "evaluation",
        "export",
        "video",
        "geo",
        "machine",
        "cli",
    ),
)
"""The rooms and the loose modules of the package, from the lowest to the highest."""

TESTED_ELSEWHERE = {
    "errors.py": "cli/test_models.py",  # the table of exit codes
    "checkpoints/drive.py": "checkpoints/test_download.py",  # only a whole download reaches Drive
    "checkpoints/tensors.py": "checkpoints/test_reading.py",  # how every kind of file hands over its tensors
    "checkpoints/https.py": "checkpoints/test_transfer.py",  # what a hostile server does to it
    "checkpoints/leftovers.py": "checkpoints/test_store.py",
    "checkpoints/parts.py": "checkpoints/test_transfer.py",
    "checkpoints/pickle_calls.py": "checkpoints/test_pickles.py",
    "checkpoints/records.py": "checkpoints/test_pickles.py",  # plain records
    "io/image_formats.py": "io/test_images.py",
    "io/source_states.py": "distributed/test_prediction.py",
    "io/read_only.py": "test_api.py",  # what a segmenter that is sent elsewhere has of them
    "evaluation/labels_difference.py": "quantization/test_quantize_model.py",
    "cli/bench.py": "machine/test_benchmark.py",  # prints what is measured there
    "cli/check.py": "datasets/test_check.py",
    "cli/classes.py": "datasets/test_class_set.py",
    "cli/compare.py": "evaluation/test_compare.py",
    "cli/dataset_options.py": "cli/test_eval.py",
    "cli/doctor.py": "machine/test_doctor.py",
    "cli/download.py": "checkpoints/test_download.py",
    "cli/eval_output.py": "cli/test_eval.py",
    "cli/export.py": "export/test_export_model.py",
    "export/formats.py": "export/test_export_model.py",
    "export/script.py": "export/test_export_model.py",
    "cli/images.py": "cli/test_predict.py",
    "cli/predict_options.py": "cli/test_predict.py",
    "cli/video.py": "video/test_run.py",
    "cli/quantize.py": "quantization/test_quantize_model.py",
    "quantization/calibration.py": "quantization/test_quantize_model.py",
    "quantization/conversion.py": "quantization/test_quantize_model.py",
    "quantization/store.py": "quantization/test_quantize_model.py",
    "cli/raster.py": "geo/test_raster.py",
    "cli/reporting.py": "cli/test_predict.py",
    "cli/status.py": "distributed/test_status.py",
    "distributed/answers.py": "distributed/test_segment_batch.py",
    "datasets/mat_files.py": "datasets/test_labels.py",
    "evaluation/cluster_source.py": "test_ray.py",
    "evaluation/counting.py": "evaluation/test_runner.py",
    "evaluation/comparable.py": "evaluation/test_compare.py",
    "evaluation/differences.py": "evaluation/test_compare.py",
    "evaluation/records.py": "evaluation/test_journal.py",
    "evaluation/report.py": "evaluation/test_pages.py",
    "evaluation/results.py": "evaluation/test_runner.py",
    "evaluation/summary.py": "evaluation/test_runner.py",
    "inference/versions.py": "machine/test_doctor.py",
    "io/overwriting.py": "evaluation/test_overwriting.py",
    "io/regular.py": "io/test_images.py",  # pipes and devices in the place of files
    "models/deformable_encoder.py": "models/test_mask2former.py",  # figures exist of the whole network's stages
    "models/network.py": "models/test_fpn.py",  # an interface
    "models/transformer.py": "models/test_mask2former.py",
    "version.py": "test_packaging.py",
    "zoo_values.py": "test_zoo.py",
    "video/reading.py": "video/test_run.py",
    "video/writing.py": "video/test_run.py",
    "output/kinds.py": "output/test_segmentation.py",
    "output/segmented_image.py": "output/test_segmentation.py",
    "ops/bindings.py": "ops/test_nvrtc.py",  # calls NVRTC through both kinds of bindings
    "ops/ctypes_bindings.py": "ops/test_nvrtc.py",
    "ops/registry.py": "ops/test_resize.py",  # torch checks what it registers
    "ops/storage.py": "ops/test_cuda_sampling.py",  # two constants
}
"""Modules whose tests do not bear their name, and where these are."""

MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if not path.stem.startswith("__"))
HEADS = sorted(path.relative_to(PACKAGE) for path in PACKAGE.glob("*/__init__.py"))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_is_tested_where_its_name_says(module: Path) -> None:
    tests = TESTS / TESTED_ELSEWHERE.get(module.as_posix(), named_after(module))
    assert tests.is_file(), f"write it, or say in TESTED_ELSEWHERE what tests {module}"


def test_the_table_holds_no_more_than_it_must() -> None:
    assert TESTED_ELSEWHERE.keys() <= {module.as_posix() for module in MODULES}
    assert not [name for name in TESTED_ELSEWHERE if (TESTS / named_after(Path(name))).exists()]


@pytest.mark.parametrize("module", [*MODULES, *HEADS], ids=str)
def test_imports_point_downward(module: Path) -> None:
    floor = FLOORS.index(room(module))
    upward = [str(other) for other in imports(module) if FLOORS.index(room(other)) > floor]
    assert not upward


@pytest.mark.parametrize("head", HEADS, ids=str)
def test_the_head_of_a_room_says_what_each_module_is(head: Path) -> None:
    described = ast.get_docstring(ast.parse((PACKAGE / head).read_text(encoding="utf-8"))) or ""
    named = set(re.findall(r"(?<![/*])\b(\w+\.py)\b", described))
    modules = {module.name for module in MODULES if module.parent == head.parent}
    if head.parent.name == "cli":  # its commands need no explanation
        modules, named = modules & named, named - {"NAME.py"}
    assert named == modules


def test_no_modules_import_each_other() -> None:
    TopologicalSorter({module: set(imports(module)) - {module} for module in MODULES}).prepare()


def test_few_modules_stand_outside_the_rooms() -> None:
    assert len([module for module in MODULES if module.parent == Path()]) <= 6


def named_after(module: Path) -> Path:
    return module.with_name(f"test_{module.name}")


def room(module: Path) -> str:
    return module.parts[0].removesuffix(".py")


def imports(module: Path) -> Iterator[Path]:
    """The modules of the package that `module` imports, at its head or within a function."""
    for node in ast.walk(ast.parse((PACKAGE / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports by a relative name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("semask_cli."):
                yield from resolved(name.split(".")[1:])


def resolved(parts: list[str]) -> Iterator[Path]:
    """The file that a dotted name below the package stands in; a name of a room's own is what its head imports."""
    for count in range(len(parts), 0, -1):
        path = Path(*parts[:count])
        if (PACKAGE / path.with_suffix(".py")).is_file():
            yield path.with_suffix(".py")
            return
        if (PACKAGE / path / "__init__.py").is_file():
            yield path / "__init__.py"
            return
    yield Path("api.py")
