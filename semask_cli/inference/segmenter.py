"""The inference engine: from images to labels or scores."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from semask_cli.datasets import ClassSet, classes
from semask_cli.errors import SemaskError, UsageError
from semask_cli.inference.batches import Batches
from semask_cli.inference.config import LABELS_ALONE, Engine, InferenceConfig, Keep
from semask_cli.inference.cores import Cores
from semask_cli.inference.device import ChosenPrecision, torch_defaults
from semask_cli.inference.merge import MEMORY, Merge, Merged, View
from semask_cli.inference.sliding_window import SlidingWindow
from semask_cli.inference.smoothing import Smoothing
from semask_cli.inference.stopwatch import Stopwatch
from semask_cli.inference.stream import Reserve, Stages, pool_threads, stream
from semask_cli.inference.versions import row_digest, versions
from semask_cli.inference.views import PreparedImage, mirrored, resize, view_sizes
from semask_cli.io.images import MAX_PIXELS, RGB, ImageSource, read_image
from semask_cli.models.network import Network
from semask_cli.models.prediction import Prediction
from semask_cli.output.segmentation import Segmentation
from semask_cli.output.segmented_image import RunInfo
from semask_cli.zoo import ModelSpec

SCORE_BYTES = 3  # per kept score: float16, and its class

Item = TypeVar("Item")
Result = TypeVar("Result")


class Segmenter:
    """A network with its weights and the settings of inference, created by `semask_cli.load`.

    `memory` bounds, in bytes, what is held while views are merged (see `Merge`); `engine` is what runs the network (see
    `OpenVINO`), `cuda_graphs` replays it (see `CudaGraphs`); `digest` is the SHA-256 of the published file of the
    weights, `quantization` that of the scales of int8 (empty in other precisions). With an `own_checkpoint` the weights
    are not the row's. Threads may share it; on a GPU they must use one CUDA stream.
    """

    def __init__(
        self,
        network: Network,
        spec: ModelSpec,
        *,
        config: InferenceConfig,
        device: torch.device,
        precision: ChosenPrecision,
        memory: int = MEMORY,
        engine: Engine = "torch",
        cuda_graphs: bool = False,
        digest: str,
        own_checkpoint: bool = False,
        quantization: str = "",
    ) -> None:
        self.network, self.spec, self.config = network, spec, config
        self.device, self.memory, self.digest = device, memory, digest
        self.engine, self.own_checkpoint, self.quantization = engine, own_checkpoint, quantization
        self._versions = versions() if engine == "torch" else versions(engine)
        self._batches = Batches(network, device=device, precision=precision, engine=engine, cuda_graphs=cuda_graphs)

    def __repr__(self) -> str:
        return f"<Segmenter of {self.spec.name} on {self.device} in {self.precision}>"

    @property
    def precision(self) -> ChosenPrecision:
        """The precision of the network."""
        return self._batches.precision

    @precision.setter
    def precision(self, precision: ChosenPrecision) -> None:
        self._batches.precision = precision

    def predict(self, image: ImageSource, *, keep: Keep = LABELS_ALONE, max_pixels: int = MAX_PIXELS) -> Segmentation:
        """Segment an image: a path, a PIL image, or uint8 RGB (H, W, 3); see `images.read_image`.

        `keep` selects what to keep besides the labels.

        Raises:
            ImageError: the image cannot be read.
            UsageError: a scale makes the image larger than any that is read.
        """
        prepared = self.prepare(image, max_pixels=max_pixels)
        self._refuse_endless_scores(prepared.pixels, keep)
        return self.predict_prepared([prepared], keep=keep)[0]

    def predict_each(
        self,
        images: Iterable[ImageSource],
        *,
        keep: Keep = LABELS_ALONE,
        max_pixels: int = MAX_PIXELS,
        smoothing: Smoothing | None = None,
    ) -> Generator[Segmentation | SemaskError, None, None]:
        """Segment many images, in order. The next ones are decoded while the network runs.

        An image that cannot be read gives its error. With `smoothing` the images are frames of a video, and only labels
        are kept.

        Raises:
            UsageError: `images` is the path or the bytes of one image.
        """
        if isinstance(images, str | bytes | os.PathLike):
            raise UsageError(f"predict_each takes several images, not one {type(images).__name__}", "Give it a list.")
        return self.process(
            images,
            open_item=lambda image: image,
            finish=lambda image, answer: answer,
            keep=keep,
            max_pixels=max_pixels,
            smoothing=smoothing,
        )

    def process(
        self,
        items: Iterable[Item],
        *,
        open_item: Callable[[Item], ImageSource],
        finish: Callable[[Item, Segmentation | SemaskError], Result],
        keep: Keep = LABELS_ALONE,
        max_pixels: int = MAX_PIXELS,
        smoothing: Smoothing | None = None,
        alone: bool = False,
    ) -> Generator[Result, None, None]:
        """The result of `finish` for each item's segmentation or error, in order.

        `open_item` and `finish`, for reading and writing, are called in threads while the network runs. On a CPU it
        runs for several images at the same time; with `alone`, for one with all threads.
        """

        def prepare(item: Item, reserve: Reserve) -> PreparedImage:
            prepared = self.prepare(open_item(item), max_pixels=max_pixels, reserve=reserve)
            self._refuse_endless_scores(prepared.pixels, keep)
            return prepared

        on_cpu = self.device.type == "cpu"
        one_by_one = self.engine != "torch" or self.config.mode == "slide" or alone or smoothing
        if on_cpu and not one_by_one and (threads := torch.get_num_threads()) > 1:
            with Cores(threads) as cores:

                def segment(item: Item, reserve: Reserve) -> Segmentation:
                    prepared = prepare(item, reserve)
                    with cores.lent(prepared.network_bytes):
                        return self.predict_prepared([prepared], keep=keep)[0]

                whole = Stages(prepare=segment, batch_key=id, predict=list[Segmentation], finish=finish)
                yield from cores.until_closed(stream(items, whole, threads=threads))
            return
        stages = Stages(
            prepare=prepare,
            batch_key=lambda prepared: tuple(view.shape for view in prepared.views),
            predict=lambda batch: self.predict_prepared(batch, keep=keep, smoothing=smoothing),
            finish=finish,
        )
        batch_size = 1 if self.config.mode == "slide" else self._batches.size
        yield from stream(items, stages, threads=pool_threads(network_on_cpu=on_cpu), batch_size=batch_size)

    def prepare(
        self, image: ImageSource, *, max_pixels: int = MAX_PIXELS, reserve: Reserve | None = None
    ) -> PreparedImage:
        """Read an image and resize it to its views; `reserve` is called with its size before it is decoded.

        Raises:
            ImageError: the image cannot be read.
            UsageError: a scale makes the image larger than any that is read.
        """
        watch = Stopwatch()
        with watch("decode"):
            pixels = read_image(image, max_pixels=max_pixels, before_decoding=reserve)
        with watch("resize"):
            sizes = view_sizes(self.spec, self.config, *pixels.shape[:2])
            views = tuple(resize(pixels, size, preprocessing=self.spec.preprocessing) for size in sizes)
        return PreparedImage(pixels, views, watch)

    def _refuse_endless_scores(self, pixels: RGB, keep: Keep) -> None:
        """Raises UsageError if the scores to be kept of an image take more than `memory`."""
        height, width = pixels.shape[:2]
        nbytes = min(keep.top, self.spec.num_classes) * height * width * SCORE_BYTES
        if nbytes > self.memory:
            raise UsageError(
                f"the scores of {width} x {height} pixels would take {nbytes / 1e9:.1f} GB",
                "Keep fewer of them: --top.",
            )

    @torch_defaults()
    @torch.inference_mode()
    def predict_prepared(
        self, images: Sequence[PreparedImage], *, keep: Keep = LABELS_ALONE, smoothing: Smoothing | None = None
    ) -> list[Segmentation]:
        """Segment images whose views have the same sizes, in batches of these."""
        return [
            self._segmentation(image, merge, keep=keep, smoothing=smoothing)
            for image, merge in zip(images, self._merges(images), strict=True)
        ]

    @torch_defaults()
    @torch.inference_mode()
    def scores(self, image: ImageSource) -> Tensor:
        """The merged class scores at the image's size: (classes, H, W) float32, CPU. Labels are their argmax."""
        return self._merges([self.prepare(image)])[0].scores()

    def _segmentation(
        self, image: PreparedImage, merge: Merge, *, keep: Keep, smoothing: Smoothing | None
    ) -> Segmentation:
        watch = image.watch
        with watch("merge", on=self.device):
            merged = Merged(smoothing.labels(merge)) if smoothing else merge.merged(keep)
        if merged.labels.device.type != "cpu":
            with watch("copy", on=self.device):
                merged = merged.to_host()
        return Segmentation(
            labels=merged.labels.numpy(),
            classes=self.class_set.classes,
            palette=self.class_set.palette,
            image=image.pixels,
            confidence=_array(merged.confidence),
            entropy=_array(merged.entropy),
            scores=_array(merged.scores),
            score_labels=_array(merged.score_labels),
            info=self._info(watch),
        )

    def _merges(self, images: Sequence[PreparedImage]) -> list[Merge]:
        """The predictions of all images' views, ready to be merged. (Windows are predicted during the merge.)"""
        flips = (False, True) if self.config.flip else (False,)
        merged: list[list[View]] = [[] for _ in images]
        for number in range(len(images[0].views)):
            views = [mirrored(image.views[number], flip) for image in images for flip in flips]
            predictions = iter(self._predict_views(views, [image.watch for image in images]))
            for image_views in merged:
                image_views += [View(next(predictions), flip) for flip in flips]
        return [
            Merge(
                views,
                size=(image.pixels.shape[0], image.pixels.shape[1]),
                softmax=self.network.softmax,
                device=self.device,
                memory=self.memory,
            )
            for image, views in zip(images, merged, strict=True)
        ]

    def _predict_views(self, views: list[RGB], watches: Sequence[Stopwatch]) -> list[Prediction]:
        """The predictions of views of one size; the time is shared between the `watches` of their images."""

        def predict_batch(images: list[RGB]) -> list[Prediction]:
            with ExitStack() as running:
                for watch in watches:
                    running.enter_context(watch("network", on=self.device, share=1 / len(watches)))
                return self._batches.predict(images)

        if self.config.mode == "slide":
            return [SlidingWindow(view, self.config, predict_batch) for view in views]
        return predict_batch(views)

    @property
    def class_set(self) -> ClassSet:
        """The classes that labels are indices of."""
        return classes(self.spec.dataset)

    @property
    def settings(self) -> dict[str, Any]:
        """All that labels depend on, besides the image, as JSON values."""
        config = self.config
        windows = {"crop": list(config.crop), "stride": list(config.stride)} if config.mode == "slide" else {}
        return {
            "model": self.spec.name,
            "row": row_digest(self.spec),
            "checkpoint": self.digest,
            **({"own_checkpoint": True} if self.own_checkpoint else {}),
            "device": self.device.type,
            "precision": self.precision,
            **({"engine": self.engine} if self.engine != "torch" else {}),
            **({"quantization": self.quantization} if self.quantization else {}),
            "mode": config.mode,
            **windows,
            "scales": list(config.scales) if isinstance(config.scales, tuple) else config.scales,
            "flip": config.flip,
            "versions": self._versions,
        }

    def _info(self, watch: Stopwatch) -> RunInfo:
        return RunInfo(
            model=self.spec.name,
            dataset=self.spec.dataset,
            checkpoint=self.digest,
            device=str(self.device),
            precision=self.precision,
            engine=self.engine,
            mode=self.config.mode,
            scales=(1.0,) if self.config.scales is None else self.config.scales,
            flip=self.config.flip,
            milliseconds={stage: round(spent, 3) for stage, spent in watch.milliseconds.items()},
            versions=self._versions,
        )


def _array(values: Tensor | None) -> NDArray[Any] | None:
    return None if values is None else values.numpy()
