"""`prepare_open_images --estimate`."""

from __future__ import annotations

import csv
import io
import re
import shutil
from pathlib import Path

from data_prep.preparing.release_files import split_files
from data_prep.records.manifest import read_manifest
from tests.data_prep.preparing.open_images_run import IMAGES, Prepared, prepare
from tests.data_prep.preparing.open_images_site import CLASSES, OpenImagesSite


def test_an_estimate_is_made_from_the_beginning_of_each_csv(release: OpenImagesSite, tmp_path: Path):
    release.publish({"train": 800, "validation": 30}, classes=6)
    output = prepare(release, tmp_path, "--estimate", "--estimate_megabytes", 0.02)
    files = {split: split_files("v7", split) for split in IMAGES}
    boxes = f"/openimages/{files['train'].boxes}"
    assert (boxes, "bytes=0-19999") in release.ranges
    assert not [path for verb, path in release.requests if verb == "GET" and "rotation" in path]
    assert 0 < len(release.images_asked_for()) <= 48
    assert not list((tmp_path / "data").glob("*.json"))
    found = re.search(r"^  train +([\d,]+) ± (\d+) +([\d,]+) ± (\d+)$", output, re.MULTILINE)
    assert found is not None, output
    images, image_edge, num_boxes, box_edge = (int(text.replace(",", "")) for text in found.groups())
    rows = list(csv.DictReader(io.StringIO(release.files[boxes].decode())))
    wanted = [row["ImageID"] for row in rows if row["LabelName"] in list(CLASSES)[:3] and row["IsGroupOf"] == "0"]
    assert abs(images - len(set(wanted))) <= 2 * image_edge < 200
    assert abs(num_boxes - len(wanted)) <= 2 * box_edge < 400
    assert "in the order of their ids" in output
    assert re.search(r"^  validation +\d+ +\d+$", output, re.MULTILINE)  # all of it is in the first 20 kB
    assert re.search(r"CSVs: 4 files, [\d.]+ kB to fetch; \d+ seconds? at [\d.]+ MB/s, as the sample came", output)
    assert re.search(r"in all about .* on disk", output)


def test_an_estimate_of_files_at_hand_is_exact(prepared: Prepared, tmp_path: Path):
    shutil.copytree(prepared.folder / "data" / "metadata", tmp_path / "data" / "metadata")
    words = ["--fraction", 1, "--max_images_per_class", 4]
    output = prepare(prepared.site, tmp_path, "--estimate", *words)
    assert output.count("exact: all of data/metadata/") == 2
    assert "±" not in output
    done = prepare(prepared.site, tmp_path, *words[2:])
    for split in IMAGES:
        manifest = read_manifest(tmp_path / "data" / f"{split}.record.manifest.json")
        assert manifest is not None
        total = manifest.total()
        assert re.search(rf"^  {split} +{total.num_images} +{total.boxes_by_label.total()}$", output, re.MULTILINE), (
            done
        )


def test_an_estimate_without_images_says_so(release: OpenImagesSite, tmp_path: Path):
    for path in [path for path in release.files if path.startswith("/images/")]:
        del release.files[path]
    output = prepare(release, tmp_path, "--estimate")
    assert re.search(
        rf"images: none of \d+ could be fetched from {release.url('images')} for a trial: \d+ HTTP 404", output
    )
