"""A bucket behind the real protocol of S3: images in, masks out, on after a kill, though the server has bad days."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support import filled
from tests.support.command_line import Run, start
from tests.support.written import written_files

boto3 = pytest.importorskip("boto3")
pytest.importorskip("s3fs")
moto = pytest.importorskip("moto.server")
requests = pytest.importorskip("requests")
pytestmark = pytest.mark.slow

IMAGES = 30
TOY = ("--model", "toy-street-fpn", "--threads", "1", "--scales", "native")


class Unsteady(BaseHTTPRequestHandler):
    """Stands before the server: every seventeenth request fails, every twenty-third is slow."""

    protocol_version = "HTTP/1.1"
    behind = ""
    seen = 0

    def answer(self) -> None:
        type(self).seen += 1
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.seen % 17 == 0:
            content = b"<Error><Code>SlowDown</Code></Error>"
            self.send_response(503)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
            return
        if self.seen % 23 == 0:
            time.sleep(0.3)
        headers = {key: value for key, value in self.headers.items() if key.lower() != "host"}
        given = requests.request(self.command, self.behind + self.path, data=body, headers=headers, stream=True)
        content = given.raw.read()
        self.send_response(given.status_code)
        for key, value in given.headers.items():
            if key.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                self.send_header(key, value)
        length = given.headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket behind an unsteady server, as the environment variables of S3 clients describe it."""
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    Unsteady.behind, Unsteady.seen = f"http://{host}:{port}", 0
    front = ThreadingHTTPServer(("127.0.0.1", 0), Unsteady)
    threading.Thread(target=front.serve_forever, daemon=True).start()
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "testing"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", f"http://127.0.0.1:{front.server_port}"),
    ):
        monkeypatch.setenv(name, value)
    requests.post(f"{Unsteady.behind}/moto-api/reset", timeout=10)  # servers of one process share what they hold
    client = boto3.client("s3", endpoint_url=Unsteady.behind)
    client.create_bucket(Bucket="photos")
    yield client
    front.shutdown()
    server.stop()


def keys(client: Any, prefix: str) -> dict[str, bytes]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="photos", Prefix=prefix)
    names = [item["Key"] for page in pages for item in page.get("Contents", ())]
    return {name.removeprefix(prefix): client.get_object(Bucket="photos", Key=name)["Body"].read() for name in names}


def test_a_bucket_in_and_a_bucket_out(semask: Run, bucket: Any, tmp_path: Path) -> None:
    (tmp_path / "in/x").mkdir(parents=True)
    for number in range(IMAGES):
        Image.fromarray(filled.image(16, 20, number)).save(tmp_path / f"in/x/{number}.png")
        bucket.upload_file(str(tmp_path / f"in/x/{number}.png"), "photos", f"in/x/{number}.png")
    semask("predict", "in", "-o", "out", *TOY)
    here = written_files(tmp_path / "out", ".png")
    assert len(here) == IMAGES
    command = ("predict", "s3://photos/in", "-o", "s3://photos/out", *TOY)
    killed = start(*command)
    assert killed.stdout is not None
    for _ in range(5):
        assert killed.stdout.readline()
    killed.kill()
    killed.communicate()
    semask(*command)
    there = keys(bucket, "out/")
    assert {name: content for name, content in there.items() if name.endswith(".png")} == here
    again = semask(*command)
    assert again.stdout == ""
    assert f"{IMAGES} of {IMAGES} images were done before" in again.stderr
    assert f"{IMAGES} done, 0 failed, 0 left" in semask("status", "s3://photos/out").stdout
    assert Unsteady.seen > 10 * 17  # so many have failed


def test_a_bucket_in_and_tables_out(semask: Run, bucket: Any) -> None:
    """A folder of parts, and one file, which a new image joins later."""
    parquet = pytest.importorskip("pyarrow.parquet")

    def masks(prefix: str) -> dict[str, bytes | None]:
        """Of each image in the only table below `prefix`."""
        [content] = [content for name, content in keys(bucket, prefix).items() if name.endswith(".parquet")]
        rows = parquet.read_table(io.BytesIO(content)).to_pylist()
        [failed] = [row for row in rows if row["error"]]
        assert "s3://photos/in/5.png is truncated" in failed["error"]["message"]
        assert len({row["id"] for row in rows}) == len(rows)
        return {row["id"]: row["mask"] for row in rows}

    buffer = io.BytesIO()
    Image.fromarray(filled.image(16, 20, 3)).save(buffer, "PNG")
    for number in range(5):
        bucket.put_object(Bucket="photos", Key=f"in/{number}.png", Body=buffer.getvalue())
    bucket.put_object(Bucket="photos", Key="in/5.png", Body=buffer.getvalue()[:60])
    to_parts = ("predict", "s3://photos/in", "-o", "s3://photos/table", "--format", "parquet", *TOY)
    to_file = ("predict", "s3://photos/in", "-o", "s3://photos/one/results.parquet", *TOY)
    semask(*to_parts, check=3)
    semask(*to_file, check=3)
    in_parts = masks("table/")
    assert sorted(in_parts) == list("012345")
    assert np.asarray(Image.open(io.BytesIO(in_parts["0"]))).shape == (16, 20)
    assert masks("one/") == in_parts
    bucket.put_object(Bucket="photos", Key="in/6.png", Body=buffer.getvalue())
    for command, code in ((to_parts, 0), (to_file, 3)):  # errors are tried again where their rows can be replaced
        [line] = semask(*command, check=code).stdout.splitlines()
        assert line.startswith("s3://photos/in/6.png ")
    assert masks("one/") == in_parts | {"6": in_parts["0"]}
    assert "6 done, 1 failed, 0 left" in semask("status", "s3://photos/one/results.parquet").stdout


def test_a_bucket_that_is_not_there_is_said(semask: Run, bucket: Any) -> None:
    finished = semask("predict", "s3://nobody/in", "-o", "masks", *TOY, check=3)
    assert "s3://nobody/in" in finished.stderr
    assert "Traceback" not in finished.stderr
