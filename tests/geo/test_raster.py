"""Rasters keep their place on earth, and have the labels of one large image."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.transform import Affine, from_origin

from semask_cli.errors import ImageError, OutputError, UsageError
from semask_cli.geo import raster as geo
from semask_cli.geo.raster import Stretch, segment_raster
from semask_cli.inference.segmenter import Segmenter
from tests.support import filled
from tests.support.command_line import Run
from tests.support.toy_networks import SMALL_MODELS, toy_segmenter

SIZE = (150, 230)
TRANSFORM = from_origin(500_000, 4_649_776, 0.25, 0.25)
WINDOWS = {"mode": "slide", "crop": (32, 40), "stride": (20, 30), "scales": "native"}


@pytest.fixture
def segmenter(monkeypatch: pytest.MonkeyPatch) -> Segmenter:
    monkeypatch.setattr(geo, "WINDOWS", 2)
    return toy_segmenter(SMALL_MODELS["fpn"], **WINDOWS)


def write_raster(path: Path, bands: np.ndarray, **profile: object) -> Path:
    """(bands, height, width) as GDAL's users have it: UTM, a quarter of a metre."""
    settings = {
        "driver": "GTiff", "dtype": bands.dtype, "count": len(bands), "height": bands.shape[1],
        "width": bands.shape[2], "crs": "EPSG:32631", "transform": TRANSFORM, "tiled": True, "blockxsize": 64,
        "blockysize": 64, **profile,
    }  # fmt: skip
    with rasterio.open(path, "w", **settings) as raster:
        raster.write(bands)
    return path


def test_labels_are_those_of_the_whole_in_the_same_place(segmenter: Segmenter, tmp_path: Path) -> None:
    image = filled.image(*SIZE, 1)
    source = write_raster(tmp_path / "a.tif", image.transpose(2, 0, 1))
    done = list(segment_raster(segmenter, source, tmp_path / "b.tif"))
    assert done == sorted(done)
    assert done[-1] == pytest.approx(1)
    assert len(done) > 4
    with rasterio.open(tmp_path / "b.tif") as written:
        assert (written.crs.to_epsg(), written.transform, written.nodata) == (32631, TRANSFORM, 255)
        assert written.profile["tiled"]
        labels = written.read(1)
        assert written.colormap(1)[1][:3] == tuple(segmenter.predict(image).palette[1])
        assert json.loads(written.tags()["semask"])["dataset"] == "ade20k"
    np.testing.assert_array_equal(labels, segmenter.predict(image).labels)


def test_sixteen_bits_are_stretched_as_stated(segmenter: Segmenter, tmp_path: Path) -> None:
    values = 300 + 10 * filled.image(*SIZE, 2).transpose(2, 0, 1).astype(np.uint16)
    source = write_raster(tmp_path / "a.tif", values)
    list(segment_raster(segmenter, source, tmp_path / "given.tif", bands=(3, 2, 1), stretch=Stretch(300, 2850)))
    with rasterio.open(tmp_path / "given.tif") as written:
        expected = segmenter.predict(
            np.ascontiguousarray(((values - 300) // 10).astype(np.uint8)[::-1].transpose(1, 2, 0))
        )
        np.testing.assert_array_equal(written.read(1), expected.labels)
    list(segment_raster(segmenter, source, tmp_path / "sampled.tif"))
    with rasterio.open(tmp_path / "sampled.tif") as written:
        low, high = json.loads(written.tags()["semask"])["stretch"]
    assert low, high == pytest.approx(tuple(np.percentile(values, (2, 98))))


def test_where_there_is_no_data_there_is_no_label(segmenter: Segmenter, tmp_path: Path) -> None:
    bands = np.maximum(filled.image(*SIZE, 3).transpose(2, 0, 1), 1)
    bands[:, 40:, :100] = 0
    source = write_raster(tmp_path / "a.tif", bands, nodata=0)
    list(segment_raster(segmenter, source, tmp_path / "b.tif"))
    with rasterio.open(tmp_path / "b.tif") as written:
        labels = written.read(1)
    np.testing.assert_array_equal(labels == 255, bands[0] == 0)


def test_what_is_no_number_is_no_data(segmenter: Segmenter, tmp_path: Path) -> None:
    bands = filled.image(*SIZE, 3).transpose(2, 0, 1).astype(np.float32)
    bands[0, 40:, :100] = np.nan
    source = write_raster(tmp_path / "a.tif", bands)  # without a value for no data
    list(segment_raster(segmenter, source, tmp_path / "b.tif", stretch=Stretch(0, 255)))
    with rasterio.open(tmp_path / "b.tif") as written:
        np.testing.assert_array_equal(written.read(1) == 255, np.isnan(bands[0]))


def test_a_palette_is_read_as_its_colours(segmenter: Segmenter, tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (256, 3), np.uint8)
    values = filled.image(*SIZE, 4)[..., 0]
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", dtype="uint8", count=1, height=SIZE[0], width=SIZE[1],
        photometric="palette", transform=TRANSFORM,
    ) as raster:  # fmt: skip
        raster.write_colormap(1, {index: (*map(int, colour), 255) for index, colour in enumerate(colours)})
        raster.write(values, 1)
    list(segment_raster(segmenter, tmp_path / "a.tif", tmp_path / "b.tif"))
    with rasterio.open(tmp_path / "b.tif") as written:
        np.testing.assert_array_equal(written.read(1), segmenter.predict(colours[values]).labels)


def test_control_points_and_rational_polynomials_are_kept(segmenter: Segmenter, tmp_path: Path) -> None:
    bands = filled.image(40, 50, 1).transpose(2, 0, 1)
    source = write_raster(tmp_path / "a.tif", bands, crs=None, transform=Affine.identity())
    points = [GroundControlPoint(0, 0, 10, 50), GroundControlPoint(0, 50, 11, 50), GroundControlPoint(40, 0, 10, 49)]
    one, x, y = ([float(index == place) for index in range(20)] for place in range(3))
    polynomials = RPC(100, 10, 50, 1, one, x, 20, 20, 10, 1, one, y, 25, 25)
    with rasterio.open(source, "r+") as raster:
        raster.gcps = (points, CRS.from_epsg(4326))
        raster.rpcs = polynomials
    list(segment_raster(segmenter, source, tmp_path / "b.tif"))
    with rasterio.open(tmp_path / "b.tif") as written:
        found, system = written.gcps
        assert [(p.row, p.col, p.x, p.y) for p in found] == [(p.row, p.col, p.x, p.y) for p in points]
        assert system.to_epsg() == 4326
        assert written.rpcs.line_num_coeff == polynomials.line_num_coeff


def test_what_cannot_be_done(segmenter: Segmenter, tmp_path: Path) -> None:
    source = write_raster(tmp_path / "a.tif", filled.image(40, 50, 1).transpose(2, 0, 1))
    with pytest.raises(UsageError, match="raster that has 3"):
        list(segment_raster(segmenter, source, tmp_path / "b.tif", bands=(1, 2, 9)))
    with pytest.raises(UsageError, match="sliding windows at its own size"):
        list(segment_raster(toy_segmenter(SMALL_MODELS["fpn"]), source, tmp_path / "b.tif"))
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(ImageError, match="cannot read the raster"):
        list(segment_raster(segmenter, tmp_path / "text.tif", tmp_path / "b.tif"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "text.tif"]


def test_a_file_that_could_not_be_written_to_its_end_is_not_kept(segmenter: Segmenter, tmp_path: Path) -> None:
    source = write_raster(tmp_path / "a.tif", filled.image(*SIZE, 1).transpose(2, 0, 1))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))  # as a full disk, which GDAL does not tell
    try:
        with pytest.raises(OutputError, match=r"b\.tif was not written completely"):
            list(segment_raster(segmenter, source, tmp_path / "b.tif"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_a_pipe_is_not_waited_for(segmenter: Segmenter, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="it is a pipe or a device"):
        list(segment_raster(segmenter, tmp_path / "a.tif", tmp_path / "b.tif"))


def test_a_damaged_raster_leaves_nothing(segmenter: Segmenter, tmp_path: Path) -> None:
    source = write_raster(tmp_path / "a.tif", filled.image(*SIZE, 1).transpose(2, 0, 1), compress="deflate")
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="cannot read the raster"):
        list(segment_raster(segmenter, source, tmp_path / "b.tif"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.slow
def test_the_command_writes_a_raster_for_a_raster(semask: Run, tmp_path: Path) -> None:
    write_raster(tmp_path / "a.tif", filled.image(300, 400, 1).transpose(2, 0, 1))
    model = ("-m", "toy-street-fpn", "--threads", "1")
    finished = semask("predict", "a.tif", "-o", "b.tif", "--bands", "3,2,1", *model)
    assert finished.stdout == "a.tif -> b.tif\n"
    with rasterio.open(tmp_path / "b.tif") as written:
        assert written.transform == TRANSFORM
    assert "would replace" in semask("predict", "a.tif", "-o", "a.tif", *model, check=4).stderr
    for option, text in (("--bands", "red"), ("--bands", "1.5,2,3"), ("--bands", ""), ("--stretch=-inf,inf", None)):
        given = [option] if text is None else [option, text]
        assert option[:7] in semask("predict", "a.tif", "-o", "c.tif", *given, *model, check=2).stderr
    for option in (("--save", "overlay"), ("--json",), ("--frames", "1:2"), ("--shard", "0/2"), ("--report", "page")):
        refused = semask("predict", "a.tif", "-o", "c.tif", *option, *model, check=2).stderr
        assert f"a raster takes no {option[0]}" in refused
    for option in (("--mode", "whole"), ("--scales", "1"), ("--flip",), ("--ms-flip",)):
        refused = semask("predict", "a.tif", "-o", "c.tif", *option, *model, check=2).stderr
        assert "sliding windows at its own size" in refused
    assert "takes no --bands" in semask("predict", "a.tif", "--bands", "3,2,1", *model, check=2).stderr
