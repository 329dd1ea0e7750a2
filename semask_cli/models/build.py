"""From a row of the zoo to its network."""

from __future__ import annotations

from semask_cli.models.fpn import SemanticFPN
from semask_cli.models.mask2former import Mask2Former
from semask_cli.models.maskformer import MaskFormer
from semask_cli.models.network import Network
from semask_cli.zoo import ModelSpec

_FAMILIES: dict[str, type[SemanticFPN | MaskFormer | Mask2Former]] = {
    "fpn": SemanticFPN,
    "maskformer": MaskFormer,
    "mask2former": Mask2Former,
    "fapn": Mask2Former,
    "msfapn": Mask2Former,
}


def build_model(spec: ModelSpec) -> Network:
    """The network of a row, with random weights, in evaluation mode.

    Its state dict has the names and shapes of the published files.
    """
    return _FAMILIES[spec.family](spec).eval()
