"""The two operators on CPU beside the usual ways to write them: grid_sample on each level, torchvision's deform_conv2d.

    python -m benchmarks.cpu.ops --threads 2 --record benchmarks/records/ops.csv

The best time of several runs at the sizes that a 512 x 512 and a 640 x 853 image bring.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from benchmarks.cpu.record import record_parser, write_record
from semask_cli.models.deformable_encoder import pixel_centres
from semask_cli.ops import deform_conv2d, ms_deform_attn

IMAGES = ((512, 512), (640, 864))  # height and width, padded to a multiple of 32
HEADS, POINTS, CHANNELS, GROUPS = 8, 4, 256, 8
ROUNDS = 5

Formulations = dict[str, Callable[[], Tensor]]


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    rows = []
    with torch.inference_mode():
        for height, width in IMAGES:
            for operator, build in (("ms_deform_attn", attention), ("deform_conv2d", convolution)):
                for formulation, milliseconds in measure(build(height, width)).items():
                    rows.append({
                        "operator": operator,
                        "image": f"{height}x{width}",
                        "threads": arguments.threads,
                        "formulation": formulation,
                        "milliseconds": f"{milliseconds:.1f}",
                    })  # fmt: skip
                    print(rows[-1])
    write_record(arguments.record, rows)


def measure(formulations: Formulations) -> dict[str, float]:
    """Milliseconds of the best round. All formulations must agree."""
    expected, *others = (run() for run in formulations.values())
    for other in others:
        torch.testing.assert_close(other, expected, atol=1e-3, rtol=1e-3)
    best = dict.fromkeys(formulations, float("inf"))
    for _ in range(ROUNDS):
        for name, run in formulations.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], 1000 * (time.perf_counter() - start))
    return best


def attention(height: int, width: int) -> Formulations:
    """One encoder layer: the pixels at strides 32, 16 and 8 look at one another."""
    sizes = [(height // stride, width // stride) for stride in (32, 16, 8)]
    pixels = sum(h * w for h, w in sizes)
    value = torch.randn(1, pixels, HEADS, CHANNELS // HEADS)
    reference = torch.cat([pixel_centres(h, w, value.device) for h, w in sizes])
    offsets = 3 * torch.randn(1, pixels, HEADS, len(sizes), POINTS, 2)
    logits = torch.randn(1, pixels, HEADS, len(sizes) * POINTS)
    flat = [extent for size in sizes for extent in size]

    def by_grid_sample() -> Tensor:
        weights = logits.softmax(-1).transpose(1, 2).flatten(0, 1)[:, None]  # (HEADS, 1, pixels, levels * POINTS)
        samples = []
        for level, ((h, w), part) in enumerate(zip(sizes, value.split([h * w for h, w in sizes], dim=1), strict=True)):
            location = reference[:, None, None] + offsets[0, :, :, level] / torch.tensor([w, h])
            maps = part[0].permute(1, 2, 0).unflatten(2, (h, w))  # (HEADS, D, h, w)
            samples.append(F.grid_sample(maps, (2 * location - 1).transpose(0, 1), align_corners=False))
        return (torch.cat(samples, dim=-1) * weights).sum(-1).flatten(0, 1).T[None]

    return {"semask": lambda: ms_deform_attn(value, flat, reference, offsets, logits), "grid_sample": by_grid_sample}


def convolution(height: int, width: int) -> Formulations:
    """The alignment of FaPN and MSFaPN at stride 4."""
    x, offset_mask = (torch.randn(1, c, height // 4, width // 4) for c in (CHANNELS, 27 * GROUPS))
    weight, bias = torch.randn(CHANNELS, CHANNELS, 3, 3) / 48, torch.randn(CHANNELS)
    last = [t.contiguous(memory_format=torch.channels_last) for t in (x, offset_mask)]  # as the networks have them
    offset, mask = offset_mask.split([18 * GROUPS, 9 * GROUPS], dim=1)

    def by_torchvision() -> Tensor:
        return torchvision.ops.deform_conv2d(x, offset, weight, bias, padding=1, mask=mask.sigmoid())

    return {"semask": lambda: deform_conv2d(*last, weight, bias, GROUPS), "torchvision": by_torchvision}


if __name__ == "__main__":
    main()
