"""A data set on a site of its own, and both ways from there to records."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from data_prep import beam_pipeline, download_images, make_tfrecords, validate_images
from tests.data_prep import icc_profiles, image_bytes, loopback_site

LABEL_MAP = """
item { name: '/m/03ssj5' id: 1 display_name: 'Bed' }
item { name: '/m/07c52' id: 7 display_name: 'Television' }
"""
NUM_SHARDS = 4


def encoded(seed: int, width: int = 200, height: int = 120, mode: str = "RGB", image_format: str = "JPEG") -> bytes:
    return image_bytes.encoded(image_bytes.new_image(width, height, seed).convert(mode), image_format)


class Site(loopback_site.Site):
    """Serves `pages` by path on loopback, counts who asks, and fails as often as it is told to."""

    def __init__(self) -> None:
        self.handler = Handler
        super().__init__()
        self.pages: dict[str, bytes] = {}
        self.failures: Counter[str] = Counter()


class Handler(loopback_site.SilentHandler):
    server: Site

    def get(self) -> None:
        self.server.requests[self.path] += 1
        page = self.server.pages.get(self.path)
        if self.server.requests[self.path] <= self.server.failures[self.path]:
            self.send_error(503)
        elif page is None:
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)


class Road:
    """A data set on a site of its own, and both ways from there to records."""

    num_shards = NUM_SHARDS
    encoded = staticmethod(encoded)

    def __init__(self, folder: Path, site: Site, run: Callable[..., Any]) -> None:
        self.folder, self.site, self.run = folder, site, run
        self.points_path, self.images_path = folder / "points.json", folder / "images.json"
        self.label_map_path = folder / "label_map.pbtxt"
        self.label_map_path.write_text(LABEL_MAP)
        self.points: dict[str, dict[str, Any]] = {}

    def put(self, image_id: str, content: bytes | None, *labels: str, **more: Any) -> None:
        boxes = [{"label": label, "x0": 0.1, "x1": 0.6, "y0": 0.2, "y1": 0.9} | more for label in labels]
        self.points[image_id] = {"id": image_id, "annotations": boxes}
        if content is not None:
            self.site.pages[f"/train/{image_id}.jpg"] = content

    def write(self) -> None:
        images = [{"id": name, "url": self.site.url(f"/train/{name}.jpg"), "subset": "train"} for name in self.points]
        self.points_path.write_text(json.dumps(list(self.points.values())))
        self.images_path.write_text(json.dumps(images))

    def words(self, *words: object, output: str = "beam", fetch: bool = True) -> list[str]:
        source = ["--images_path", self.images_path, "--base_url", self.site.url()] if fetch else []
        inputs = ["--datapoints_input_path", self.points_path, "--label_map_path", self.label_map_path, *source]
        outputs = ["--record_output_path", self.folder / output / "train.record", "--num_shards", NUM_SHARDS]
        return [str(word) for word in (*inputs, *outputs, "--max_dimension", 128, *words)]

    def beam(self, *words: object, output: str = "beam", fetch: bool = True) -> Any:
        return self.run(beam_pipeline.main, *self.words(*words, output=output, fetch=fetch))

    def step_by_step(self) -> None:
        images, sound, clean = self.folder / "images", self.folder / "images_128", self.folder / "clean.json"
        inputs = ["--images_path", self.images_path, "--base_url", self.site.url(), "--max_failures", 9]
        assert self.run(download_images.main, *inputs, "--images_output_directory", images).code == 0
        inputs = ["--image_directory", images, "--datapoints_input_path", self.points_path, "--max_failures", 9]
        outputs = ["--image_saving_directory", sound, "--datapoints_output_path", clean, "--max_dimension", 128]
        assert self.run(validate_images.main, *inputs, *outputs, "--num_processes", 1).code == 0
        inputs = ["--datapoints_input_path", clean, "--image_directory", sound, "--label_map_path", self.label_map_path]
        outputs = ["--record_output_path", self.folder / "local" / "train.record", "--num_shards", NUM_SHARDS]
        assert self.run(make_tfrecords.main, *inputs, *outputs, "--num_processes", 1).code == 0

    def contents(self, output: str) -> dict[str, bytes]:
        """Returns every file, without what a manifest says of the command and of the input's versions."""
        found = {path.name: path.read_bytes() for path in (self.folder / output).iterdir()}
        return {
            name: re.sub(rb'( "command": .*\n| "fingerprint": "\w*",)', b"", content)
            if name.endswith(".manifest.json")
            else content
            for name, content in found.items()
        }

    def put_many(self, count: int) -> None:
        for number in range(count):
            mode = "CMYK" if number % 40 == 3 else "L" if number % 40 == 5 else "RGB"
            image_format = "PNG" if number % 40 == 7 else "JPEG"
            size = (100 + 3 * number, 90 + number)
            labels = ["/m/03ssj5", "/m/07c52"][: number % 3]
            content = encoded(number, *size, mode, image_format)
            if number % 40 == 9:
                profile = icc_profiles.rgb_profile(icc_profiles.DISPLAY_P3)
                content = image_bytes.encoded(image_bytes.new_image(*size, number), icc_profile=profile)
            elif number % 40 == 11:
                content = content[:-2]  # without its end mark
            self.put(f"p{number:03d}", content, *labels, is_group_of=number % 4 == 0)
        self.write()

    def rejects(self, output: str = "beam") -> list[tuple[str, str]]:
        lines = (self.folder / output / "train.record.rejected.jsonl").read_text().splitlines()
        return sorted((entry["item"], entry["reason"]) for entry in map(json.loads, lines))


@pytest.fixture
def road(tmp_path: Path, run: Callable[..., Any]) -> Iterator[Road]:
    with Site().running() as site:
        yield Road(tmp_path, site, run)
