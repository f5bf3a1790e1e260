"""A model of the zoo from a server on loopback: fetched on where it broke off, held against sums, unpacked safely."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
import time
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_prep.preparing import release_requests
from data_prep.runtime.command_line import UsageError, UserError
from tests.data_prep.loopback_site import SilentHandler, Site
from train.checkpoints.detection_zoo import ZOO, zoo_model
from train.checkpoints.zoo_archive import unpack
from train.fetch_zoo_checkpoint import main as fetch_zoo_checkpoint

ROOT = Path(__file__).resolve().parents[2]
NAME = "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8"
FILES = {
    "checkpoint/checkpoint": b"model_checkpoint_path: 'ckpt-0'",
    "checkpoint/ckpt-0.index": b"index",
    "checkpoint/ckpt-0.data-00000-of-00001": bytes(range(256)) * 8000,
    "pipeline.config": b"model { }",
    "saved_model/saved_model.pb": b"graph",
}


def archive_of(*members: tarfile.TarInfo | tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


ARCHIVE = archive_of(*((f"{NAME}/{path}", content) for path, content in FILES.items()))


class Handler(SilentHandler):
    """One archive with its MD5, in parts where they are asked for; `breaks_left` answers end early."""

    def do_HEAD(self) -> None:  # noqa: N802
        self.get()

    def get(self) -> None:
        site = self.server
        assert isinstance(site, ZooSite)
        site.requests[self.path] += self.command == "GET"
        if self.path != site.archive_path:
            self.send_error(404)
            return
        start = int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
        body = site.content[start:]
        self.send_response(206 if start else 200)
        if start:
            site.starts.append(start)
            self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"zoo"')
        self.send_header(
            "x-goog-hash", f"md5={base64.b64encode(hashlib.md5(site.told or site.content).digest()).decode()}"
        )
        self.end_headers()
        if self.command == "HEAD":
            return
        if site.breaks_left:
            site.breaks_left -= 1
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(body)


class ZooSite(Site):
    handler = Handler

    def __init__(self) -> None:
        super().__init__()
        self.archive_path = f"/tf2/20200711/{NAME}.tar.gz"
        self.content, self.told = ARCHIVE, b""
        self.breaks_left = 0
        self.starts: list[int] = []


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[ZooSite]:
    clock = types.SimpleNamespace(monotonic=time.monotonic, time=time.time, sleep=lambda seconds: None)
    monkeypatch.setattr(release_requests, "time", clock)
    with ZooSite().running() as running:
        assert isinstance(running, ZooSite)
        yield running


def words(site: ZooSite, tmp_path: Path) -> list[str]:
    return [NAME, "--output_directory", str(tmp_path / "zoo"), "--base_url", site.url("tf2")]


def unpacked(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_model_is_fetched_unpacked_and_its_recipe_is_named(site, tmp_path, capsys):
    assert fetch_zoo_checkpoint(words(site, tmp_path)) == 0
    assert unpacked(tmp_path / "zoo" / NAME) == FILES
    assert [path.name for path in (tmp_path / "zoo").iterdir()] == [NAME]
    said = capsys.readouterr().out
    assert "recipe: configs/ssd_mobilenet_v2_fpnlite_320.config" in said
    assert f'fine_tune_checkpoint: "{tmp_path}/zoo/{NAME}/checkpoint/ckpt-0"' in said
    before = site.requests.total()
    assert fetch_zoo_checkpoint(words(site, tmp_path)) == 0
    assert "is there already" in capsys.readouterr().out and site.requests.total() == before


def test_a_fetch_that_broke_off_goes_on_where_it_was(site, tmp_path):
    site.breaks_left = 2
    assert fetch_zoo_checkpoint([*words(site, tmp_path), "--keep_archive"]) == 0
    assert unpacked(tmp_path / "zoo" / NAME) == FILES
    assert site.starts and (tmp_path / "zoo" / f"{NAME}.tar.gz").read_bytes() == ARCHIVE


def test_what_is_not_what_the_server_says_is_no_model(site, tmp_path):
    site.told = b"other bytes"
    with pytest.raises(UserError, match="has the MD5"):
        fetch_zoo_checkpoint(words(site, tmp_path))
    assert not (tmp_path / "zoo" / NAME).exists()


def test_an_address_that_is_not_there_is_named(site, tmp_path):
    site.archive_path = "/elsewhere"
    with pytest.raises(UserError, match=rf"/tf2/20200711/{NAME}\.tar\.gz.*404"):
        fetch_zoo_checkpoint(words(site, tmp_path))


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (archive_of((f"{NAME}/../../outside", b"x")), "leads out of the folder"),
        (archive_of(("/etc/outside", b"x")), "leads out of the folder"),
        (archive_of((f"{NAME}/..\\outside", b"x")), "leads out of the folder"),
        (archive_of(link(f"{NAME}/checkpoint", "/etc")), "is a link or a device"),
        (archive_of(link(f"{NAME}/passwd", "/etc/passwd", tarfile.LNKTYPE)), "is a link or a device"),
        (archive_of(link(f"{NAME}/fifo", "", tarfile.FIFOTYPE)), "is a link or a device"),
        (archive_of((f"{NAME}/frozen_inference_graph.pb", b"x")), "holds no checkpoint/ckpt-0"),
        (ARCHIVE[: len(ARCHIVE) // 2], "cannot be unpacked"),
        (b"<html>not found</html>", "cannot be unpacked"),
        (gzip.compress(b"no tar", mtime=0), "cannot be unpacked"),
        (b"", "cannot be unpacked"),
    ],
)
def test_an_archive_that_leads_out_or_is_none_leaves_nothing(content, words, tmp_path):
    (tmp_path / "zoo").mkdir()
    archive = tmp_path / "zoo" / "model.tar.gz"
    archive.write_bytes(content)
    with pytest.raises(UserError, match=words):
        unpack(archive, tmp_path / "zoo" / "model")
    assert [path.name for path in (tmp_path / "zoo").iterdir()] == ["model.tar.gz"]
    assert not (tmp_path / "outside").exists()


def test_an_archive_of_too_much_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("train.checkpoints.zoo_archive.MAX_UNPACKED_BYTES", 1000)
    (tmp_path / "model.tar.gz").write_bytes(ARCHIVE)
    with pytest.raises(UserError, match="none of the zoo's"):
        unpack(tmp_path / "model.tar.gz", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_names(capsys):
    assert zoo_model("efficientdet_d3").name == "efficientdet_d3_coco17_tpu-32"
    assert zoo_model(f"{NAME}.tar.gz").url() == (
        f"http://download.tensorflow.org/models/object_detection/tf2/20200711/{NAME}.tar.gz"
    )
    with pytest.raises(UsageError, match="several begin so: faster_rcnn_resnet50_v1_640x640"):
        zoo_model("faster_rcnn_resnet50")
    with pytest.raises(UsageError, match="nearest are ssd_mobilenet_v2"):
        zoo_model("ssd_mobilnet_v2_320x320")
    with pytest.raises(UsageError, match="--list prints all"):
        fetch_zoo_checkpoint([])
    assert fetch_zoo_checkpoint(["--list"]) == 0
    said = capsys.readouterr().out
    # As many as the zoo's table has, the two of ExtremeNet as one.
    assert len(said.splitlines()) == len(ZOO) == 42
    assert "centernet_hg104_512x512_coco17_tpu-8: CenterNet is not supported here" in said


@pytest.mark.parametrize(
    "recipe", sorted({model.recipe for model in ZOO.values() if model.recipe.startswith("configs/")})
)
def test_the_recipes_that_are_named_are_there(recipe):
    assert (ROOT / recipe).is_file()
