"""From a model of the zoo to its network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from semask_cli.models.fpn import SemanticFPN
from semask_cli.models.mask2former import Mask2Former
from semask_cli.models.maskformer import MaskFormer
from semask_cli.models.network import Network
from semask_cli.zoo import Decoder, ModelSpec

DECODERS: Mapping[Decoder, Callable[[ModelSpec], Network]] = {
    "semantic-fpn": SemanticFPN,
    "maskformer": MaskFormer,
    "mask2former": Mask2Former,
}


def build_model(spec: ModelSpec) -> Network:
    """The network of a model, with random weights, in evaluation mode.

    Its state dict has the names and shapes of the published files.
    """
    return DECODERS[spec.decoder](spec).eval()
