"""The pipeline on an object store: a file system of Beam's own kind, whose objects live in this process."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("apache_beam", reason="Apache Beam is not installed (requirements-beam.txt)")

from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata, FileSystem

from data_prep import beam_pipeline
from data_prep.beam import files

OBJECTS: dict[str, bytes] = {}


class _Upload(io.BytesIO):
    """Becomes an object when it is closed."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def close(self) -> None:
        if not self.closed:
            OBJECTS[self._path] = self.getvalue()
        super().close()


class MemoryFileSystem(FileSystem):
    """`mem://`, as object stores are: no folders, whole objects, a renaming that copies."""

    @classmethod
    def scheme(cls) -> str:
        return "mem"

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path: str) -> tuple[str, str]:
        head, _, tail = path.rpartition("/")
        return head, tail

    def mkdirs(self, path: str) -> None:
        pass

    def has_dirs(self) -> bool:
        return False

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        for path in sorted(OBJECTS):
            if path.startswith(dir_or_prefix):
                yield self.metadata(path)

    def create(self, path: str, mime_type: str = "", compression_type: str = CompressionTypes.AUTO) -> Any:
        return _Upload(path)

    def open(self, path: str, mime_type: str = "", compression_type: str = CompressionTypes.AUTO) -> Any:
        if path not in OBJECTS:
            raise BeamIOError("Open operation failed", {path: "not found"})
        return io.BytesIO(OBJECTS[path])

    def copy(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        for source, destination in zip(source_file_names, destination_file_names, strict=True):
            if destination in OBJECTS:
                raise BeamIOError("Copy operation failed", {destination: "exists, as on HDFS"})
            OBJECTS[destination] = OBJECTS[source]

    def rename(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        self.copy(source_file_names, destination_file_names)
        for source in source_file_names:
            del OBJECTS[source]

    def exists(self, path: str) -> bool:
        return path in OBJECTS

    def size(self, path: str) -> int:
        return len(OBJECTS[path])

    def last_updated(self, path: str) -> float:
        return 1.0

    def checksum(self, path: str) -> str:
        return str(len(OBJECTS[path]))

    def metadata(self, path: str) -> FileMetadata:
        if path not in OBJECTS:
            raise BeamIOError("Metadata operation failed", {path: "not found"})
        return FileMetadata(path, len(OBJECTS[path]), 1.0)

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            for name in [path] if not path.endswith("/") else [name for name in OBJECTS if name.startswith(path)]:
                del OBJECTS[name]


@pytest.fixture(autouse=True)
def no_objects() -> Iterator[None]:
    OBJECTS.clear()
    yield
    OBJECTS.clear()


def test_all_may_lie_in_an_object_store(road: Any) -> None:
    road.put_many(9)
    road.put("gone", None)
    road.write()
    assert road.beam("--max_failures", 1).code == 0
    expected = road.contents("beam")
    for path in (road.points_path, road.images_path, road.label_map_path):
        OBJECTS[f"mem://bucket/{path.name}"] = path.read_bytes()
    words = ["--datapoints_input_path", "mem://bucket/points.json", "--label_map_path", "mem://bucket/label_map.pbtxt"]
    words += ["--record_output_path", "mem://bucket/out/train.record", "--num_shards", "4", "--max_dimension", "128"]
    fetch = ["--images_path", "mem://bucket/images.json", "--base_url", road.site.url()]
    fetch += ["--image_saving_directory", "mem://bucket/saved", "--max_failures", "1"]
    outcome = road.run(beam_pipeline.main, *words, *fetch)
    assert outcome.code == 0, outcome.error
    found = {path.removeprefix("mem://bucket/out/"): content for path, content in OBJECTS.items() if "/out/" in path}
    assert sorted(found) == sorted(expected)  # and nothing else: the work folder is gone
    for name in expected:
        if "-of-" in name or "rejected" in name:
            assert found[name] == expected[name]
    assert len([path for path in OBJECTS if path.startswith("mem://bucket/saved/max_128/")]) == 9
    again = road.run(beam_pipeline.main, *words, *fetch)
    assert "nothing to do: 4 shards" in again.output

    # From the images that were kept, over the shards that are there.
    outcome = road.run(
        beam_pipeline.main, *words, "--image_directory", "mem://bucket/saved/max_128", "--max_failures", 1
    )
    assert outcome.code == 0, outcome.error
    assert "read 9" in outcome.output
    assert {name: OBJECTS[f"mem://bucket/out/{name}"] for name in expected if "-of-" in name} == {
        name: content for name, content in expected.items() if "-of-" in name
    }


def test_a_file_takes_the_place_of_another_in_one_step() -> None:
    files.put("mem://bucket/a", b"old")
    files.put("mem://bucket/a", b"new")
    assert OBJECTS == {"mem://bucket/a": b"new"}
    assert files.split("mem://bucket/a/b") == ("mem://bucket/a", "b")
    assert files.files_in("mem://bucket") == {"a": (3, 1.0)}
