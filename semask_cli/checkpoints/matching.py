"""Which model of the zoo a set of tensors fits, by names and shapes only, never by a file's label.

(The authors' table listed one file first as FaPN and six weeks later as MSFaPN.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from semask_cli.errors import CheckpointError, DamagedCheckpointError, MissingTensorsError, TensorShapeError, printable
from semask_cli.models.build import build_model
from semask_cli.models.network import Network
from semask_cli.zoo import ModelSpec, Zoo

INDEX = "relative_position_index"  # computed from the window: optional in files
COUNTER = "num_batches_tracked"  # of BatchNorm, for training only: optional in files
LOSS_WEIGHT = "criterion.empty_weight"  # of the training loss: not part of the network

_WEIGHTS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_SEMANTIC_QUERY = "backbone.layers.0.semantic_layer.class_injection.0.mlp_cls_q.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How a file's tensors differ from a network's, as lines of text. Empty if the file fits."""

    missing: list[str]
    unexpected: list[str]
    misshapen: list[str]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshapen)


def network_for(tensors: Mapping[str, Tensor], spec: ModelSpec, zoo: Zoo, *, path: Path) -> tuple[ModelSpec, Network]:
    """The model as the file at `path` has it, and its network on the meta device, which the tensors fit strictly.

    The file decides only the number of classes of the semantic attention (see `adapted`).

    Raises:
        MissingTensorsError: names are missing or left over.
        TensorShapeError: all names match, but a shape differs.
    """
    spec = adapted(spec, tensors)
    network = on_meta(spec)
    if difference := compare(tensors, shapes_of(network)):
        raise _misfit(difference, tensors, spec, zoo, path)
    return spec, network


def check_numbers(tensors: Mapping[str, Tensor], *, path: Path) -> None:
    """Check the values of all weights, in one pass.

    Raises:
        TensorShapeError: a weight is not a floating-point number of 16 bits or more.
        DamagedCheckpointError: a weight is not a number, or infinite in float32.
    """
    for name, tensor in tensors.items():
        if name.endswith((INDEX, COUNTER)) or name == LOSS_WEIGHT:
            continue
        if tensor.dtype not in _WEIGHTS:
            raise TensorShapeError(
                f"{path}: {name} holds {str(tensor.dtype).removeprefix('torch.')},"
                " weights are floating-point numbers of 16 bits or more",
                "Fetch the file again from its publisher.",
            )
        # NaN is both extremes; the network computes with float32, in which a float64 may be infinite.
        if tensor.numel() and not all(extreme.float().isfinite() for extreme in tensor.aminmax()):
            raise DamagedCheckpointError(
                f"{path}: {name} holds numbers that are infinite or NaN", "Fetch the file again from its publisher."
            )


def adapted(spec: ModelSpec, tensors: Mapping[str, Tensor]) -> ModelSpec:
    """`spec` with the number of semantic classes in the file, if that is its number of classes.

    The authors' COCO-Stuff configurations give the backbone 150 classes under a head of 171, which their own loss would
    refuse: a published file may have either number.
    """
    query = tensors.get(_SEMANTIC_QUERY)
    if query is None or query.ndim != 2 or query.shape[0] != spec.num_classes:
        return spec
    return dataclasses.replace(spec, backbone=dataclasses.replace(spec.backbone, semantic_classes=spec.num_classes))


def on_meta(spec: ModelSpec) -> Network:
    """The network of a model without memory for its weights: names and shapes, in a tenth of a second."""
    with torch.device("meta"), _WithoutNormalInit():
        return build_model(spec)


class _WithoutNormalInit(TorchFunctionMode):
    """Skips `nn.init.normal_`, for which torch would import its compiler on the meta device."""

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        keywords = kwargs or {}
        return keywords["tensor"] if func is nn.init.normal_ else func(*args, **keywords)


def shapes_of(network: Network) -> dict[str, tuple[int, ...]]:
    """The names and shapes of a published file of this network."""
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def compare(tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> Difference:
    """Compare a file's tensors with the names and shapes of a network."""
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items() if name != LOSS_WEIGHT}
    return Difference(
        missing=[name for name in expected if name not in found and not name.endswith((INDEX, COUNTER))],
        unexpected=[name for name in found if name not in expected],
        misshapen=[
            f"{name} {shape} instead of {expected[name]}"
            for name, shape in found.items()
            if shape != expected.get(name, shape)
        ],
    )


def rows_that_fit(tensors: Mapping[str, Tensor], zoo: Zoo) -> list[str]:
    """The models of the zoo that the tensors fit strictly."""
    query = tensors.get(_SEMANTIC_QUERY)
    rows = [adapted(row, tensors) for row in zoo.models.values()]
    # One shape rules out most models before their network is built.
    alike = [
        r for r in rows if query is not None and query.shape == (r.backbone.semantic_classes, r.backbone.embed_dim)
    ]
    return [row.name for row in alike if not compare(tensors, shapes_of(on_meta(row)))]


def _misfit(
    difference: Difference, tensors: Mapping[str, Tensor], spec: ModelSpec, zoo: Zoo, path: Path
) -> CheckpointError:
    lines = [f"{path} is not a checkpoint of {spec.name}:"]
    for what, items in (
        ("missing", difference.missing),
        ("unknown to the model", difference.unexpected),
        ("of another shape", difference.misshapen),
    ):
        if items:
            lines.append(
                f"  {len(items)} {what}: {', '.join(map(printable, items[:3]))}{', …' if len(items) > 3 else ''}"
            )
    only_shapes = not (difference.missing or difference.unexpected)
    kind = TensorShapeError if only_shapes else MissingTensorsError
    fitting = rows_that_fit(tensors, zoo)
    return kind("\n".join(lines), f"The file fits {' or '.join(fitting) or 'no model of the zoo'}.")
