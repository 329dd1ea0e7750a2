"""Videos in, videos or files out: every frame at its time, in constant memory, and on after a kill."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from semask_cli.distributed.answers import Outputs
from semask_cli.errors import ImageError, OutputError, UsageError
from semask_cli.inference import smoothing
from semask_cli.inference.segmenter import Segmenter
from semask_cli.video import run, writing
from semask_cli.video.reading import FrameRange, frames
from semask_cli.video.run import FrameDone, segment_to_files, segment_to_video
from tests.support.command_line import Run
from tests.support.toy_networks import SMALL_MODELS, toy_segmenter

SIZE = (98, 131)  # odd, as some cameras have it; x264 encodes frames of half that size to other bytes now and then
FRAMES = 23
EVERY = FrameRange()
SETTINGS = {"model": "toy"}


def times() -> list[float]:
    """Seconds of frames that do not come evenly."""
    return [0.04 * n + 0.01 * (n % 3) for n in range(FRAMES)]


def write_video(path: Path, *, codec: str = "libx264") -> Path:
    """Another program's video, of a bright square that moves."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, options={"bf": "2"})
        stream.width, stream.height, stream.pix_fmt = SIZE[1] + 1, SIZE[0], "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, seconds in enumerate(times()):
            pixels = np.full((SIZE[0], SIZE[1] + 1, 3), 40, np.uint8)
            pixels[10:40, 2 * number : 2 * number + 20] = (200, 90, 30)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(seconds * 1000), stream.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "drive.mp4")


@pytest.fixture
def segmenter() -> Segmenter:
    return toy_segmenter(SMALL_MODELS["fpn"])


@pytest.fixture
def _short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "PART_FRAMES", 5)


def shown(path: Path) -> list[tuple[float, np.ndarray]]:
    return [(frame.seconds, frame.image) for frame in frames(str(path), EVERY)]


@pytest.mark.usefixtures("_short_parts")
@pytest.mark.parametrize("chosen", [EVERY, FrameRange(start=3, stop=20, step=4)])
def test_every_chosen_frame_is_shown_at_its_time(
    segmenter: Segmenter, video: Path, tmp_path: Path, chosen: FrameRange
) -> None:
    target = tmp_path / "out.mp4"
    done = list(segment_to_video(segmenter, str(video), target, kind="color", chosen=chosen, settings=SETTINGS))
    expected = [index for index in range(FRAMES) if chosen.holds(index) and index < (chosen.stop or FRAMES)]
    assert [each.index for each in done] == expected
    written = shown(target)
    start = written[0][0] - done[0].seconds
    assert [seconds - start for seconds, _ in written] == pytest.approx([times()[i] for i in expected], abs=1e-4)
    for each, (_, pixels) in zip(done, written, strict=True):
        colours = each.segmentation.palette[each.segmentation.labels]
        assert pixels.shape == (98, 132, 3)
        assert np.abs(pixels.astype(int) - colours).mean() < 12  # what the codec changes
    assert os.listdir(tmp_path) == ["out.mp4"]
    with av.open(target) as container:  # the last frame is shown as long as the one before
        stream = container.streams.video[0]
        expected_end = 2 * times()[expected[-1]] - times()[expected[-2]]
        assert float(stream.duration * stream.time_base) == pytest.approx(expected_end - times()[expected[0]], abs=1e-3)


@pytest.mark.usefixtures("_short_parts")
@pytest.mark.parametrize("after", [1, 5, 13, 22])
def test_a_run_goes_on_after_the_parts_that_are_finished(
    segmenter: Segmenter, video: Path, tmp_path: Path, after: int
) -> None:
    def run(count: int) -> list[int]:
        """The frames that a run does, which is stopped after so many, as a kill would."""
        done: list[int] = []
        running = segment_to_video(segmenter, str(video), tmp_path / "out.mp4", chosen=EVERY, settings=SETTINGS)
        for each in running:
            done.append(each.index)
            if len(done) == count:
                abandon(running)
                break
        return done

    def abandon(running: Iterator[object]) -> None:
        kept = {path: path.read_bytes() for path in (tmp_path / "out.mp4.parts").iterdir() if path.is_file()}
        running.close()  # type: ignore[attr-defined]
        for path in (tmp_path / "out.mp4.parts").iterdir():
            if path not in kept:
                path.unlink()

    first = run(after)
    again = run(FRAMES + 1)
    assert again == list(range(5 * (len(first) // 5), FRAMES))
    assert len(shown(tmp_path / "out.mp4")) == FRAMES


@pytest.mark.usefixtures("_short_parts")
@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: data[:-1] + b"!"]
)
def test_a_part_that_is_damaged_is_made_anew(
    segmenter: Segmenter, video: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    def run() -> Iterator[FrameDone]:
        return segment_to_video(segmenter, str(video), tmp_path / "out.mp4", chosen=EVERY, settings=SETTINGS)

    whole = run()
    assert len(list(whole)) == FRAMES
    expected = shown(tmp_path / "out.mp4")
    running = run()
    for _ in range(17):
        next(running)
    running.close()  # type: ignore[attr-defined]
    second = sorted((tmp_path / "out.mp4.parts").glob("*.mp4"))[1]
    second.write_bytes(damage(second.read_bytes()))
    assert [done.index for done in run()] == list(range(5, FRAMES))
    # x264's threads sometimes code the same frame in a few bytes more or less.
    for (seconds, image), (wanted_seconds, wanted) in zip(shown(tmp_path / "out.mp4"), expected, strict=True):
        assert seconds == wanted_seconds
        np.testing.assert_array_equal(image, wanted)


@pytest.mark.usefixtures("_short_parts")
def test_parts_of_other_settings_are_begun_anew(segmenter: Segmenter, video: Path, tmp_path: Path) -> None:
    running = segment_to_video(segmenter, str(video), tmp_path / "out.mp4", chosen=EVERY, settings=SETTINGS)
    for _ in range(12):
        next(running)
    running.close()
    other = segment_to_video(segmenter, str(video), tmp_path / "out.mp4", chosen=EVERY, settings={"model": "other"})
    assert len(list(other)) == FRAMES


@pytest.mark.usefixtures("_short_parts")
@pytest.mark.parametrize("model", ["toy", "other"])
def test_two_runs_do_not_mix_their_parts(segmenter: Segmenter, video: Path, tmp_path: Path, model: str) -> None:
    def run(model: str) -> Generator[FrameDone, None, None]:
        return segment_to_video(segmenter, str(video), tmp_path / "out.mp4", chosen=EVERY, settings={"model": model})

    first = run("toy")
    for _ in range(6):
        next(first)
    with pytest.raises(OutputError, match=r"another process is writing .*out\.mp4"):
        list(run(model))
    assert len(list(first)) == FRAMES - 6
    assert len(shown(tmp_path / "out.mp4")) == FRAMES
    assert len(list(run(model))) == FRAMES


@pytest.mark.parametrize("room", [40, 4000])  # for less than the head of a part, and for some of its frames
def test_a_full_disk_is_an_error_that_names_the_part(tmp_path: Path, room: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)

    def write() -> None:
        with closing(writing.VideoParts(tmp_path / "out.mp4", {}, step=1)) as parts:
            try:
                for index in range(writing.PART_FRAMES):
                    parts.add(index, index / 25, np.roll(noise, index, 1))
            finally:
                parts.end_part()

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(OutputError, match=r"cannot write .*out\.mp4\.parts/000000000-0\.mp4: "):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in (tmp_path / "out.mp4.parts").iterdir()] == ["settings.json"]


def test_files_of_each_frame(segmenter: Segmenter, video: Path, tmp_path: Path) -> None:
    done = list(
        segment_to_files(
            segmenter,
            str(video),
            tmp_path / "out",
            outputs=Outputs(kinds=("index", "json", "confidence")),
            chosen=FrameRange(start=20),
        )
    )
    assert sorted(os.listdir(tmp_path / "out")) == [
        f"{index:09d}{ending}" for index in (20, 21, 22) for ending in (".confidence.png", ".index.png", ".json")
    ]
    for each in done:
        mask = np.asarray(Image.open(tmp_path / "out" / f"{each.index:09d}.index.png"))
        np.testing.assert_array_equal(mask, each.segmentation.labels)


@pytest.mark.usefixtures("_short_parts")
def test_smoothed_frames_are_the_same_after_a_kill(
    segmenter: Segmenter, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoothing, "BLOCK", 8)
    monkeypatch.setattr(run, "BLOCK", 8)

    def segment(name: str) -> Iterator[FrameDone]:
        path = tmp_path / name
        return segment_to_video(
            segmenter, str(video), path, kind="color", chosen=FrameRange(step=2), smooth=0.7, settings=SETTINGS
        )

    whole = [done.segmentation.labels for done in segment("whole.mp4")]
    running = segment("killed.mp4")
    before = [next(running).segmentation.labels for _ in range(6)]
    running.close()
    resumed = before + [done.segmentation.labels for done in segment("killed.mp4")]
    plain = segment_to_video(segmenter, str(video), tmp_path / "a.mp4", chosen=FrameRange(step=2), settings={})
    assert not all(map(np.array_equal, whole, (done.segmentation.labels for done in plain)))
    assert len(whole) == len(resumed) == 12
    assert all(map(np.array_equal, whole, resumed))
    outputs = Outputs(kinds=("index", "json"))
    with pytest.raises(UsageError, match="smoothed frames have no scores"):
        list(segment_to_files(segmenter, str(video), tmp_path / "out", outputs=outputs, chosen=EVERY, smooth=0.5))


def test_a_kind_that_is_no_picture(segmenter: Segmenter, video: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not json"):
        list(segment_to_video(segmenter, str(video), tmp_path / "out.mp4", kind="json", chosen=EVERY, settings={}))


def test_a_video_that_is_cut_off_gives_what_it_has(segmenter: Segmenter, tmp_path: Path) -> None:
    whole = write_video(tmp_path / "drive.mkv")
    data = whole.read_bytes()
    whole.write_bytes(data[: len(data) * 2 // 3])
    found = list(frames(str(whole), EVERY))
    assert 0 < len(found) < FRAMES


def test_a_camera_that_is_not_there_is_told_and_leaves_nothing(segmenter: Segmenter, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot read the video camera:99"):
        list(segment_to_video(segmenter, "camera:99", tmp_path / "o.mp4", chosen=EVERY, settings=SETTINGS))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.mp4", None, "No such file"),
        ("text.mp4", b"no video at all", "cannot read the video"),
        ("playlist.mp4", b"#EXTM3U\nhttp://127.0.0.1:9/a.ts\n", "cannot read the video"),
    ],
)
def test_what_is_no_video(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=said):
        list(frames(str(tmp_path / name), EVERY))


def test_a_video_that_ends_before_the_range_is_told(video: Path) -> None:
    assert not list(frames(str(video), FrameRange(start=FRAMES - 1, step=9)))[1:]
    with pytest.raises(ImageError, match=f"has only {FRAMES} frames, none with index {FRAMES}"):
        list(frames(str(video), FrameRange(start=FRAMES)))


def test_a_video_without_the_chosen_frames_leaves_nothing(segmenter: Segmenter, video: Path, tmp_path: Path) -> None:
    beyond = FrameRange(start=FRAMES)
    with pytest.raises(ImageError, match="none with index"):
        list(segment_to_video(segmenter, str(video), tmp_path / "o.mp4", chosen=beyond, settings=SETTINGS))
    assert not list(tmp_path.iterdir())


def test_a_pipe_is_no_video(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(ImageError, match="pipe or a device"):
        list(frames(str(tmp_path / "pipe.mp4"), EVERY))


@pytest.mark.slow
def test_the_command_makes_a_video_of_a_video(semask: Run, video: Path, tmp_path: Path) -> None:
    model = ("-m", "toy-street-fpn", "--threads", "1")
    finished = semask("predict", str(video), "-o", "out.mp4", "--frames", "3:7", *model)
    assert finished.stdout == f"{video} -> out.mp4\n"
    assert "4 frames" in finished.stderr
    assert len(shown(tmp_path / "out.mp4")) == 4
    made = (tmp_path / "out.mp4").read_bytes()
    repeated = semask("predict", str(video), "-o", "out.mp4", "--frames", "3:7", *model)
    assert repeated.stderr == "out.mp4 was done before; --fresh redoes it\n"
    (tmp_path / "out.mp4").write_bytes(made[:-1000])
    for arguments in ((), ("--fresh",), ("--opacity", "1")):
        assert (
            "4 frames" in semask("predict", str(video), "-o", "out.mp4", "--frames", "3:7", *arguments, *model).stderr
        )
    semask("predict", str(video), "-o", "files", "--frames", "3:7:2", "--save", "index", *model)
    masks = ["000000003.index.png", "000000005.index.png"]
    assert sorted(os.listdir(tmp_path / "files")) == [".semask-journal", *masks]
    again = semask("predict", str(video), "-o", "files", "--frames", "3:9:2", "--save", "index", *model)
    assert again.stderr.startswith("1 frame,")
    for arguments, said in (
        ((str(video), "photo.jpg"), "a run takes one video"),
        ((str(video), "-o", "out.avi"), "videos are written as .mp4"),
        ((str(video), "-o", "out.parquet"), "a folder or an .mp4 file"),
        ((str(video), "-o", "out.mp4", "--save", "mask,json"), "a video shows one kind"),
        ((str(video), "-o", "new.mp4", "--save", "mask"), "a video can show overlay, color, contour, side, not mask"),
        ((str(video), "--json"), "a video takes no --json"),
        ((str(video), "-o", "new.mp4", "--tolerance", "1"), "--save overlay takes no --tolerance"),
        (("photo.jpg", "--frames", "1:2"), "takes no --frames"),
    ):
        assert said in semask("predict", *arguments, *model, check=2).stderr
    assert "cannot read the video none.mp4" in semask("predict", "none.mp4", *model, check=3).stderr
    assert "would replace" in semask("predict", str(video), "-o", str(video), *model, check=4).stderr


@pytest.mark.parametrize(
    ("text", "chosen"),
    [("3:9", FrameRange(start=3, stop=9)), ("::5", FrameRange(step=5)), (":", EVERY), ("7:", FrameRange(start=7))],
)
def test_ranges_are_read(text: str, chosen: FrameRange) -> None:
    assert FrameRange.parse(text) == chosen


@pytest.mark.parametrize("text", ["", "3", "a:b", "1:2:0", "-1:2", "1:2:3:4", "9:3", ":0"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(UsageError, match="not a range of frames"):
        FrameRange.parse(text)
