"""semask: the published SeMask semantic segmentation models, on images and datasets.

segmentation = semask_cli.load("swin-l-m2f").predict("photo.jpg")
segmentation.save("photo.png")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from semask_cli.version import __version__ as __version__

__all__ = [
    "CheckReport",
    "Comparison",
    "Evaluation",
    "Segmentation",
    "Segmenter",
    "build_model",
    "check",
    "compare",
    "evaluate",
    "load",
]

if TYPE_CHECKING:
    from semask_cli.api import build_model, load
    from semask_cli.datasets.check import CheckReport, check
    from semask_cli.evaluation.compare import Comparison, compare
    from semask_cli.evaluation.evaluate import evaluate
    from semask_cli.evaluation.results import Evaluation
    from semask_cli.inference.segmenter import Segmenter
    from semask_cli.output.segmentation import Segmentation


_HOMES = {
    "load": "semask_cli.api",
    "build_model": "semask_cli.api",
    "check": "semask_cli.datasets.check",
    "CheckReport": "semask_cli.datasets.check",
    "compare": "semask_cli.evaluation.compare",
    "Comparison": "semask_cli.evaluation.compare",
    "evaluate": "semask_cli.evaluation.evaluate",
    "Evaluation": "semask_cli.evaluation.results",
    "Segmenter": "semask_cli.inference.segmenter",
    "Segmentation": "semask_cli.output.segmentation",
}


def __getattr__(name: str) -> Any:
    """Import the API when it is first used, so that `semask --help` does not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
