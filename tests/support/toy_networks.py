"""Networks without weights: varied labels for any image of any size, and an engine around them."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from semask_cli.inference.config import InferenceConfig
from semask_cli.inference.segmenter import Segmenter
from semask_cli.models.build import build_model
from semask_cli.models.mask_classification import MaskClassification, MaskClassifier
from semask_cli.models.network import Network
from semask_cli.models.prediction import DenseLogits, Prediction
from semask_cli.zoo import ModelSpec, load_zoo


class ToyMasks(Network):
    """100 masks, linear in the mean colours of 4 x 4 pixels, of random classes."""

    softmax = False

    def __init__(self, classes: int) -> None:
        super().__init__()
        r = np.random.RandomState(77)
        colours, offsets = r.standard_normal((100, 3)), r.standard_normal(100)
        logits = 5 * r.standard_normal((100, classes + 1))
        self.colours, self.offsets, self.class_logits = (
            torch.from_numpy(values.astype(np.float32)) for values in (colours, offsets, logits)
        )

    def predict(self, pixels: Tensor) -> list[Prediction]:
        height, width = pixels.shape[2:]
        padded = F.pad(pixels, (0, -width % 32, 0, -height % 32))
        means = F.avg_pool2d(padded, 4)
        masks = 6 * torch.einsum("qc,bchw->bqhw", self.colours, means) + 2 * self.offsets[:, None, None] - 6
        sizes = (height, width), (padded.shape[2], padded.shape[3])
        return [MaskClassification(self.class_logits, m, *sizes) for m in masks]


class ToyLogits(Network):
    """Class logits, linear in the mean colours of 4 x 4 pixels."""

    softmax = True

    def __init__(self, classes: int) -> None:
        super().__init__()
        r = np.random.RandomState(78)
        self.colours = torch.from_numpy(r.standard_normal((classes, 3)).astype(np.float32))

    def predict(self, pixels: Tensor) -> list[Prediction]:
        size = (pixels.shape[2], pixels.shape[3])
        means = F.avg_pool2d(F.pad(pixels, (0, -size[1] % 4, 0, -size[0] % 4)), 4)
        return [DenseLogits(torch.einsum("kc,chw->khw", self.colours, m), size) for m in means]


def toy_segmenter(spec: ModelSpec, **options: object) -> Segmenter:
    network = ToyLogits(spec.num_classes) if spec.family == "fpn" else ToyMasks(spec.num_classes)
    settings = {"crop": spec.crop, "stride": spec.stride, **options}
    return Segmenter(
        network,
        spec,
        config=InferenceConfig(**settings),  # type: ignore[arg-type]
        device=torch.device("cpu"),
        precision="fp32",
        digest="",
    )


SMALL_MODELS = {
    "fpn": dataclasses.replace(load_zoo().find("swin-t-fpn"), short_side=48, long_side=160),
    "mask2former": dataclasses.replace(load_zoo().find("swin-l-m2f"), short_side=48, long_side=160, ms_long_side=200),
}


BACKBONE = {"embed_dim": 32, "depths": (1, 1, 1, 1), "heads": (1, 2, 4, 8), "window": 4, "semantic_window": 4}
HEADS = {
    "maskformer": {"hidden": 64, "queries": 5, "heads": 4, "layers": 2, "feedforward": 32},
    "mask2former": {
        "hidden": 64,
        "queries": 5,
        "heads": 4,
        "encoder_layers": 1,
        "encoder_feedforward": 32,
        "decoder_layers": 3,
        "decoder_feedforward": 32,
    },
}


def tiny_network(row: str, **backbone: object) -> Network:
    """A network of the row's family, small enough for a moment's test; `backbone` is in the place of BACKBONE's."""
    spec = load_zoo().find(row)
    head = {"channels": 32} if spec.family == "fpn" else HEADS.get(spec.family, HEADS["mask2former"])
    small = replace(spec, backbone=replace(spec.backbone, **BACKBONE | backbone), head=head, num_classes=7)
    torch.manual_seed(0)
    return build_model(small)


FAMILIES = {spec.family: name for name, spec in load_zoo().models.items() if spec.miou}
CHANGED = 0.5  # what gamma and the bias tables are, zero without training: they must take part


def network_for_graphs(family: str) -> Network:
    """A tiny network of the family with shifted windows and all weights at work."""
    window = 12 if family == "fpn" else 7
    backbone = {"window": window, "semantic_window": window, "depths": (2, 1, 1, 1), "global_stages": (2, 3)}
    network = tiny_network(FAMILIES[family], **backbone).requires_grad_(False)
    for name, parameter in network.named_parameters():
        if name.endswith("gamma"):
            parameter.fill_(CHANGED)
        elif name.endswith("bias_table"):
            torch.nn.init.normal_(parameter, std=CHANGED)
    return network


def tiny_mask_classifier(row: str) -> MaskClassifier:
    """As `tiny_network`, of a mask classifier's row."""
    built = tiny_network(row)
    assert isinstance(built, MaskClassifier)
    return built
