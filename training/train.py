"""Train the bundled model toy-street-fpn: a maintainers' tool, not part of the package.

    python training/train.py render  --work DIR     render the scenes once
    python training/train.py train   --work DIR     train; started again after a kill, it goes on where it was
    python training/train.py export  --work DIR     write the weights, the log and its curve

The loss is the paper's (arXiv 2112.12782): cross-entropy of the logits, plus 0.4 times that of the semantic maps of the
four stages, upsampled to stride 4 and summed.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from semask_cli.models.build import build_model
from semask_cli.zoo import ModelSpec, load_zoo
from toy_street import TRAIN_SEEDS, VAL_SEEDS, render

HERE = Path(__file__).parent
IGNORE = 255
MEAN = torch.tensor((123.675, 116.28, 103.53)).view(3, 1, 1)
STD = torch.tensor((58.395, 57.12, 57.375)).view(3, 1, 1)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the result. Sizes in pixels."""

    train_scenes: int = 1400
    val_scenes: int = 64
    steps: int = 3600
    batch: int = 8
    crop: tuple[int, int] = (256, 256)
    small_scales: tuple[float, ...] = (0.5, 0.5, 0.75, 1.0)  # cheap, for the first part of the steps
    small_share: float = 0.42
    scales: tuple[float, ...] = (0.5, 0.75, 1.0, 1.0, 1.0, 1.25, 1.5, 1.75)
    learning_rate: float = 2.5e-3
    weight_decay: float = 0.02
    warmup: int = 100
    power: float = 0.9
    ema: float = 0.997
    semantic_weight: float = 0.4
    full_share: float = 0.2  # of the steps, at the end, with the loss at full resolution
    log_every: int = 25
    checkpoint_every: int = 100
    validate_every: int = 250


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is trained, and how.

    `loss` is given the network, pixels (B, 3, h, w), labels (B, h, w), the weights of the classes, the recipe and the
    step; `scores` gives class scores (B, classes, H, W) of pixels (B, 3, H, W).
    """

    spec: ModelSpec
    recipe: Recipe
    initialise: Callable[[nn.Module], None]
    loss: Callable[[nn.Module, Tensor, Tensor, Tensor, Recipe, int], Tensor]
    scores: Callable[[nn.Module, Tensor], Tensor]


def render_scenes(work: Path, task: Task) -> None:
    """Write scenes as uint8 (N, 256, 512, 4), RGB and label: train.npy and val.npy."""
    recipe = task.recipe
    for name, seeds in (("val", VAL_SEEDS[: recipe.val_scenes]), ("train", TRAIN_SEEDS[: recipe.train_scenes])):
        part = work / f"{name}.part.npy"
        scenes = np.lib.format.open_memmap(part, "w+", np.uint8, (len(seeds), 256, 512, 4))
        # Not forked: OpenCV's threads hold locks that a child would wait for.
        with get_context("spawn").Pool(2, initializer=os.nice, initargs=(19,)) as pool:
            for index, scene in enumerate(pool.imap(_rendered, seeds, chunksize=8)):
                scenes[index] = scene
        scenes.flush()
        part.rename(work / f"{name}.npy")


def _rendered(seed: int) -> NDArray[np.uint8]:
    cv2.setNumThreads(1)
    scene = render(seed)
    return np.dstack((scene.image, scene.labels))


def sample_batch(scenes: NDArray[np.uint8], recipe: Recipe, step: int) -> tuple[Tensor, Tensor]:
    """Pixels (B, 3, h, w), normalised, and labels (B, h, w), int64: a function of the step alone.

    One scale for a batch, so that nothing is padding: a scene smaller than the crop is the crop.
    """
    rng = np.random.default_rng((step, 7))
    scales = recipe.small_scales if step < recipe.small_share * recipe.steps else recipe.scales
    scale = scales[rng.integers(len(scales))]
    height, width = (
        min(crop, int(size * scale) // 32 * 32) for crop, size in zip(recipe.crop, (256, 512), strict=True)
    )
    pixels, labels = [], []
    for index in rng.integers(0, len(scenes), recipe.batch):
        image, label = crop_and_resize(scenes[index], rng, scale, (height, width))
        if rng.random() < 0.5:
            image, label = image[:, ::-1], label[:, ::-1]
        pixels.append(jitter_colours(image, rng))
        labels.append(label)
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), torch.from_numpy(np.stack(labels).astype(np.int64))


def crop_and_resize(
    scene: NDArray[np.uint8], rng: np.random.Generator, scale: float, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A part of `scene` (256, 512, 4) that becomes `size` when it is scaled by about `scale`: RGB and labels."""
    jitter = rng.uniform(0.88, 1.14)
    height = min(256, round(size[0] / scale / jitter))
    width = min(512, round(size[1] / scale / jitter * rng.uniform(0.93, 1.07)))
    top, left = rng.integers(0, 257 - height), rng.integers(0, 513 - width)
    part = scene[top : top + height, left : left + width]
    image = cv2.resize(part[:, :, :3], size[::-1], interpolation=cv2.INTER_LINEAR)
    return image, cv2.resize(np.ascontiguousarray(part[:, :, 3]), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def jitter_colours(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Brightness, contrast and the balance of colours, then normalisation: float32 (h, w, 3)."""
    normalised = image.astype(np.float32)
    gain = rng.uniform(0.75, 1.3) * rng.uniform(0.94, 1.06, 3)
    offset = rng.uniform(-14, 14)
    normalised = np.clip(normalised * gain.astype(np.float32) + np.float32(offset), 0, 255)
    return (normalised - MEAN.view(3).numpy()) / STD.view(3).numpy()


def initialise(model: nn.Module) -> None:
    """As published, but for R, which would never leave 0 while gamma is 0 too: each one's gradient holds the other."""
    for name, parameter in model.named_parameters():
        if name.endswith("relative_position_bias_table") or (name.endswith("weight") and parameter.dim() == 2):
            nn.init.trunc_normal_(parameter, std=0.02)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)


def loss_of(model: nn.Module, pixels: Tensor, labels: Tensor, weights: Tensor, recipe: Recipe, step: int) -> Tensor:
    """The paper's loss: the logits' at stride 2, at the end of training at full resolution; the semantic maps' at 4."""
    features, semantic_maps = model.backbone(pixels)
    logits = model.decode_head(features)
    stride = 2 if step < (1 - recipe.full_share) * recipe.steps else 1
    height, width = labels.shape[1:]
    fine = cross_entropy(resized(logits, (height // stride, width // stride)), labels, weights, stride, step)
    return fine + recipe.semantic_weight * semantic_loss(semantic_maps, labels, weights, step)


def semantic_loss(semantic_maps: list[Tensor], labels: Tensor, weights: Tensor, step: int) -> Tensor:
    """Cross-entropy of the semantic maps, brought to stride 4 and summed."""
    summed = semantic_maps[0]
    for semantic_map in semantic_maps[1:]:
        summed = summed + resized(semantic_map, summed.shape[2:])
    return cross_entropy(summed, labels, weights, 4, step)


def cross_entropy(scores: Tensor, labels: Tensor, weights: Tensor, stride: int, step: int) -> Tensor:
    """Of scores (B, classes, h, w), each cell's against that of one of its pixels."""
    top, left = random_pixel(step, stride)
    return F.cross_entropy(scores, labels[:, top::stride, left::stride], weights, ignore_index=IGNORE)


def random_pixel(step: int, stride: int) -> tuple[int, int]:
    """A pixel of a cell. A cell is as far from each of its pixels: any fixed one would shift what is learnt."""
    top, left = np.random.default_rng((step, stride, 8)).integers(0, stride, 2)
    return int(top), int(left)


def scores_of(model: nn.Module, pixels: Tensor) -> Tensor:
    """Logits (B, classes, H, W) at the size of pixels (B, 3, H, W)."""
    return resized(model(pixels), pixels.shape[2:])


def resized(scores: Tensor, size: Sequence[int]) -> Tensor:
    """Scores (B, classes, h, w), bilinearly."""
    return F.interpolate(scores, tuple(size), mode="bilinear", align_corners=False)


def class_weights(scenes: NDArray[np.uint8]) -> Tensor:
    """Rare classes count a little more: frequency to the power -0.2, mean 1 over pixels."""
    counts = np.bincount(np.asarray(scenes[:200, :, :, 3]).ravel(), minlength=256)[:19]
    share = torch.from_numpy(counts / counts.sum()).float()
    weights = share**-0.2
    return weights / (weights * share).sum()


@torch.inference_mode()
def evaluate(task: Task, model: nn.Module, scenes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """IoU of each class (19,) in percent at single scale, nan for a class that does not occur."""
    confusion = np.zeros((19, 19), np.int64)
    for scene in scenes:
        pixels = (torch.from_numpy(scene[:, :, :3].copy()).permute(2, 0, 1).float() - MEAN) / STD
        predicted, label = task.scores(model, pixels[None])[0].max(0).indices.numpy(), scene[:, :, 3]
        counted = label != IGNORE
        confusion += np.bincount(19 * label[counted].astype(np.int64) + predicted[counted], minlength=361).reshape(
            19, 19
        )
    hits = np.diag(confusion)
    with np.errstate(invalid="ignore"):
        return 100 * hits / (confusion.sum(0) + confusion.sum(1) - hits)


def train(work: Path, task: Task) -> None:
    """Train from the start, or from the last checkpoint in `work`, to the recipe's last step."""
    recipe = task.recipe
    torch.manual_seed(0)
    scenes, val = (np.load(work / f"{name}.npy", mmap_mode="r") for name in ("train", "val"))
    run = Run.begin(task)
    checkpoint = work / f"{task.spec.name}.pt"
    if checkpoint.exists():
        run.load(checkpoint)
    weights = class_weights(scenes)
    running = math.nan
    for step in range(run.step + 1, recipe.steps + 1):
        for group in run.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        run.model.train()
        loss = task.loss(run.model, *sample_batch(scenes, recipe, step), weights, recipe, step)
        run.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
        run.optimizer.step()
        if step > recipe.warmup:
            run.average.update_parameters(run.model)
        run.step = step
        running = loss.item() if math.isnan(running) else 0.95 * running + 0.05 * loss.item()
        last = step == recipe.steps
        if step % recipe.log_every == 0 or last:
            validated = step % recipe.validate_every == 0 or last
            ious = evaluate(task, run.average.module.eval(), val) if validated else np.full(19, math.nan)
            miou = float(np.nanmean(ious)) if validated else math.nan
            run.log.append((step, running, miou))
            print(
                f"step {step}  loss {running:.3f}" + (f"  val mIoU {miou:.2f}: {ious.round(1)}" if validated else ""),
                flush=True,
            )
        if step % recipe.checkpoint_every == 0 or last:
            run.save(checkpoint)


@dataclass
class Run:
    """The state of a training run: all that a checkpoint holds. `log` has (step, loss, validation mIoU or nan)."""

    model: nn.Module
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    step: int
    log: list[tuple[int, float, float]]

    @classmethod
    def begin(cls, task: Task) -> Run:
        model, recipe = build_model(task.spec), task.recipe
        task.initialise(model)
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
        decayed = {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": recipe.weight_decay}
        plain = {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0.0}
        return cls(model, average, torch.optim.AdamW([decayed, plain]), 0, [])

    def save(self, path: Path) -> None:
        state = {name: getattr(self, name).state_dict() for name in ("model", "average", "optimizer")}
        part = path.with_suffix(".part")
        torch.save({"step": self.step, "log": self.log, **state}, part)
        part.replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.step, self.log = state["step"], state["log"]
        for name in ("model", "average", "optimizer"):
            getattr(self, name).load_state_dict(state[name])


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, polynomial decay."""
    return recipe.learning_rate * min(1.0, step / recipe.warmup) * (1 - (step - 1) / recipe.steps) ** recipe.power


def export(work: Path, task: Task) -> None:
    """Write the averaged weights, in half precision, and the log and its curve."""
    run = Run.begin(task)
    run.load(work / f"{task.spec.name}.pt")
    # What follows from the rest, or only training reads, stays out: the loader knows both.
    tensors = {
        name: tensor.half().contiguous()
        for name, tensor in run.average.module.state_dict().items()
        if not name.endswith(("relative_position_index", "num_batches_tracked"))
    }
    bundled = task.spec.checkpoints[0].path
    assert bundled is not None
    bundled.parent.mkdir(exist_ok=True)
    save_file(tensors, bundled)
    with (HERE / f"{task.spec.name}.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("step", "loss", "val_miou"))
        writer.writerows(
            (step, f"{loss:.4f}", "" if math.isnan(miou) else f"{miou:.2f}") for step, loss, miou in run.log
        )
    plot_log(run.log, HERE / f"{task.spec.name}.png")


def plot_log(log: list[tuple[int, float, float]], path: Path) -> None:
    """The loss and the validation mIoU over the steps."""
    from matplotlib import pyplot

    figure, left = pyplot.subplots(figsize=(8, 4), layout="constrained")
    left.plot([step for step, _, _ in log], [loss for _, loss, _ in log], color="tab:grey", linewidth=1)
    left.set(xlabel="step", ylabel="training loss", ylim=(0, 3))
    right = left.twinx()
    validated = [(step, miou) for step, _, miou in log if not math.isnan(miou)]
    right.plot(*zip(*validated, strict=True), color="tab:blue", marker=".")
    right.set(ylabel="mIoU on validation scenes, %", ylim=(0, 100))
    right.grid(axis="y", alpha=0.3)
    figure.savefig(path, dpi=110)


def fpn_task(recipe: Recipe) -> Task:
    """toy-street-fpn."""
    spec = load_zoo().find("toy-street-fpn")
    return Task(spec=spec, recipe=recipe, initialise=initialise, loss=loss_of, scores=scores_of)


def main(task: Task) -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=f"Train the bundled model {task.spec.name}.")
    parser.add_argument("verb", choices=("render", "train", "export"))
    parser.add_argument("--work", type=Path, required=True, help="a folder for scenes and checkpoints (1 GB)")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    {"render": render_scenes, "train": train, "export": export}[arguments.verb](arguments.work, task)


if __name__ == "__main__":
    main(fpn_task(Recipe()))
