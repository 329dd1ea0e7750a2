"""From a row of the zoo to its network."""

from __future__ import annotations

from torch import nn

from semask_cli.models.fpn import SemanticFPN
from semask_cli.zoo import ModelSpec


def build_model(spec: ModelSpec) -> nn.Module:
    """The network of a row, with random weights, in evaluation mode.

    Its state dict has the names and shapes of the published files.
    """
    if spec.family == "fpn":
        return SemanticFPN(spec).eval()
    raise NotImplementedError(spec.family)
