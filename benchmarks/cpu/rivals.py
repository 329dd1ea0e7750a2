"""semask beside what else a user could pick, on this machine: seconds and memory for one image, from array to labels.

    python -m benchmarks.cpu.rivals --record benchmarks/records/rivals.csv

With --bf16 in bfloat16 too, which needs a CPU with AVX512-BF16 or AMX; the others then run under torch's autocast.

Each contender runs in a process of its own, so that its peak memory is its own, and they take turns, so that a machine
whose speed drifts treats them alike. All weights are random: they change no time here except that of semask's merging,
which is faster on a trained model, where fewer classes compete for a pixel.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Literal

import numpy as np

from benchmarks.cpu.record import record_parser, write_record
from benchmarks.cpu.turns import answer, take_turns

HEIGHT, WIDTH, CLASSES = 640, 853, 150
Contender = Callable[[np.ndarray], object]


def semask_model(
    name: str, precision: Literal["fp32", "bf16"] = "fp32", engine: Literal["torch", "openvino"] = "torch"
) -> Contender:
    """A row of the zoo, as semask runs it."""
    import semask_cli

    segmenter = semask_cli.load(name, random_weights=True, device="cpu", precision=precision, engine=engine)
    return lambda image: segmenter.predict(image).labels


def published_order(name: str) -> Contender:
    """The same network, eager, with its logits resized at full size as the published code does it."""
    import torch
    import torch.nn.functional as F

    import semask_cli
    from semask_cli.inference.config import InferenceConfig
    from semask_cli.inference.views import normalise, resize, view_sizes
    from semask_cli.zoo import load_zoo

    spec = load_zoo().find(name)
    network = semask_cli.build_model(name)

    @torch.inference_mode()
    def run(image: np.ndarray) -> object:
        [size] = view_sizes(spec, InferenceConfig(crop=spec.crop, stride=spec.stride), *image.shape[:2])
        logits = network(normalise([resize(image, size, preprocessing=spec.preprocessing)], torch.device("cpu")))
        for target in ((size.height, size.width), image.shape[:2]):
            logits = F.interpolate(logits, target, mode="bilinear", align_corners=False)
        return logits.softmax(1).argmax(1)

    return run


def transformers_mask2former(*, bf16: bool = False) -> Contender:
    """transformers' Mask2Former on Swin-L, which has no semantic attention, used as its documentation does."""
    import torch
    from transformers import (
        Mask2FormerConfig,
        Mask2FormerForUniversalSegmentation,
        Mask2FormerImageProcessor,
        SwinConfig,
    )

    backbone = SwinConfig(
        embed_dim=192,
        depths=[2, 2, 18, 2],
        num_heads=[6, 12, 24, 48],
        window_size=12,
        image_size=384,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = Mask2FormerConfig(backbone_config=backbone, num_labels=CLASSES, num_queries=100)
    network = Mask2FormerForUniversalSegmentation(config).eval()
    processor = Mask2FormerImageProcessor(
        size={"shortest_edge": 640, "longest_edge": 2560}, size_divisor=32, ignore_index=255
    )

    @torch.inference_mode()
    def run(image: np.ndarray) -> object:
        inputs = processor(images=image, return_tensors="pt")
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            outputs = network(**inputs)
        return processor.post_process_semantic_segmentation(outputs, target_sizes=[image.shape[:2]])

    return run


def torchvision_deeplab() -> Contender:
    """torchvision's DeepLabV3 on ResNet-50, at the image's size."""
    import torch
    from torchvision.models.segmentation import deeplabv3_resnet50

    network = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=CLASSES).eval()

    @torch.inference_mode()
    def run(image: np.ndarray) -> object:
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        return network(pixels)["out"].argmax(1)

    return run


CONTENDERS: dict[str, Callable[[], Contender]] = {
    "semask swin-l-m2f": lambda: semask_model("swin-l-m2f"),
    "transformers Mask2Former Swin-L": transformers_mask2former,
    "semask swin-t-fpn": lambda: semask_model("swin-t-fpn"),
    "published order swin-t-fpn": lambda: published_order("swin-t-fpn"),
    "torchvision DeepLabV3 ResNet-50": torchvision_deeplab,
    "semask swin-l-m2f, bf16": lambda: semask_model("swin-l-m2f", "bf16"),
    "transformers Mask2Former Swin-L, bf16": lambda: transformers_mask2former(bf16=True),
    "semask swin-t-fpn, bf16": lambda: semask_model("swin-t-fpn", "bf16"),
    "semask swin-t-fpn, bf16, openvino": lambda: semask_model("swin-t-fpn", "bf16", "openvino"),
}
BASELINE = {
    "semask swin-l-m2f, bf16": "transformers Mask2Former Swin-L, bf16",
    "semask swin-t-fpn, bf16": "semask swin-t-fpn",
    "semask swin-t-fpn, bf16, openvino": "semask swin-t-fpn, bf16",
    "semask swin-l-m2f": "transformers Mask2Former Swin-L",
    "semask swin-t-fpn": "published order swin-t-fpn",
}


def work(name: str, threads: int) -> None:
    """Be a contender: segment the image for each line on stdin."""
    import cv2
    import torch

    torch.set_num_threads(threads)
    small = np.random.default_rng(0).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    image = cv2.resize(small, (WIDTH, HEIGHT))
    run = CONTENDERS[name]()
    answer(lambda: run(image))


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), metavar="NAME", help="these only")
    parser.add_argument("--work", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work, arguments.threads)
        return
    contenders = arguments.contenders or [name for name in CONTENDERS if arguments.bf16 or "bf16" not in name]
    command = [sys.executable, "-m", "benchmarks.cpu.rivals", "--threads", str(arguments.threads), "--work"]
    found = take_turns({name: [*command, name] for name in contenders}, turns=arguments.repeats)
    libraries = {name: version(name) for name in ("transformers", "torchvision")}
    rows = []
    for name, measured in found.items():
        times, baseline = measured.seconds, BASELINE.get(name)
        ratios = [b / a for a, b in zip(times, found[baseline].seconds, strict=True)] if baseline else []
        rows.append({
            "contender": name,
            "image": f"{WIDTH}x{HEIGHT}",
            "threads": arguments.threads,
            "seconds": f"{statistics.median(times):.3f}",
            "fastest": f"{min(times):.3f}",
            "peak_gib": f"{measured.peak / 2**30:.2f}",
            "times_as_fast_as": baseline or "",
            "ratio": f"{statistics.median(ratios):.2f}" if ratios else "",
            **libraries,
        })  # fmt: skip
        print("  ".join(f"{key} {rows[-1][key]}" for key in ("contender", "seconds", "peak_gib", "ratio")))
    write_record(arguments.record, rows, keys=("contender",))


if __name__ == "__main__":
    main()
