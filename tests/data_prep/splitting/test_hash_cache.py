from __future__ import annotations

import io
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep.runtime.command_line import UserError
from data_prep.splitting.hash_cache import HashOutcome, cache_path, hash_images

REPOSITORY = Path(__file__).parents[3]


def jpeg(seed: int, size: tuple[int, int] = (160, 120)) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize(size).save(buffer, "JPEG")
    return buffer.getvalue()


def put(folder: Path, num_images: int) -> list[str]:
    folder.mkdir(exist_ok=True)
    for number in range(num_images):
        (folder / f"p{number}.jpg").write_bytes(jpeg(number))
    return [f"p{number}" for number in range(num_images)]


def hashed(ids: list[str], *folders: Path, num_processes: int = 1, cache: Path | None = None) -> list[HashOutcome]:
    return list(hash_images(ids, folders, num_processes=num_processes, cache_directory=cache))


def test_hashes_come_in_order_and_a_second_run_hashes_nothing(tmp_path: Path) -> None:
    ids = put(tmp_path / "images", 70)
    first = hashed(ids, tmp_path / "images", num_processes=2)
    assert [outcome.path for outcome in first] == [tmp_path / "images" / f"{image_id}.jpg" for image_id in ids]
    assert len({outcome.hash for outcome in first}) == 70
    assert not any(outcome.from_cache for outcome in first)
    again = hashed(ids, tmp_path / "images")
    assert all(outcome.from_cache for outcome in again)
    assert [outcome.hash for outcome in again] == [outcome.hash for outcome in first]
    assert (tmp_path / "images.hashes.sqlite").is_file()


def test_a_changed_image_is_hashed_anew_and_the_others_are_not(tmp_path: Path) -> None:
    ids = put(tmp_path / "images", 40)
    before = hashed(ids, tmp_path / "images")
    changed = tmp_path / "images" / "p3.jpg"
    changed.write_bytes(jpeg(1000))
    os.utime(changed, ns=(1, 1))
    after = hashed(ids, tmp_path / "images")
    assert [outcome.from_cache for outcome in after] == [number != 3 for number in range(40)]
    assert after[3].hash != before[3].hash


def test_images_are_looked_for_in_several_folders(tmp_path: Path) -> None:
    put(tmp_path / "train", 3)
    put(tmp_path / "validation", 5)
    for folder, cache in ((tmp_path / "a", tmp_path / "a"), (tmp_path / "b", None)):
        outcomes = hashed(["p0", "p4", "p9"], tmp_path / "train", tmp_path / "validation", cache=cache)
        assert [outcome.path for outcome in outcomes] == [
            tmp_path / "train" / "p0.jpg", tmp_path / "validation" / "p4.jpg", None,
        ]  # fmt: skip
        assert (outcomes[2].reason, outcomes[2].hash) == ("missing", None)
        assert folder.exists() == (cache is not None)


def test_folders_of_one_name_have_hashes_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    put(tmp_path / "x" / "images", 1)
    put(tmp_path / "y" / "images", 1)
    (tmp_path / "y" / "images" / "p0.jpg").write_bytes(jpeg(50))
    first, second = (hashed(["p0"], tmp_path / name / "images", cache=tmp_path / "cache")[0] for name in "xy")
    assert first.hash is not None
    assert second.hash is not None
    assert (first.hash ^ second.hash).bit_count() > 8
    assert cache_path(tmp_path / "x" / "images", tmp_path) != cache_path(tmp_path / "y" / "images", tmp_path)


def test_hostile_files_have_a_reason_each_also_from_the_cache(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    put(folder, 1)
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    data = struct.pack(">I", 4) + b"IDAT" + bytes(8)
    (folder / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + data)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "page.jpg").write_bytes(b"<html>gone</html>")
    (folder / "half.jpg").write_bytes(jpeg(0, (800, 600))[:3000])
    (folder / "garbage.jpg").write_bytes(b"\xff\xd8\xff" + np.random.default_rng(0).bytes(50_000_000))
    ids = ["bomb", "empty", "page", "half", "garbage", "p0"]
    start = time.process_time()
    outcomes = hashed(ids, folder)
    assert time.process_time() - start < 20
    reasons = [outcome.reason for outcome in outcomes]
    assert reasons[:4] == ["too many pixels", "empty file", "not an image", "does not decode"]
    assert reasons[4] in ("does not decode", "not an image")
    assert [outcome.hash is None for outcome in outcomes] == [True] * 5 + [False]
    again = hashed(ids, folder)
    assert all(outcome.from_cache for outcome in again)
    assert [outcome.reason for outcome in again] == reasons


def test_a_cache_that_is_none_is_named(tmp_path: Path) -> None:
    put(tmp_path / "images", 1)
    (tmp_path / "images.hashes.sqlite").write_bytes(b"not a database, but long enough to be looked at" * 50)
    with pytest.raises(UserError, match=r"images\.hashes\.sqlite: .*delete the file"):
        hashed(["p0"], tmp_path / "images")


def test_a_killed_run_leaves_what_it_has_done(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "p0.jpg").write_bytes(jpeg(0, (1200, 900)))
    ids = [f"p{number}" for number in range(400)]
    for image_id in ids[1:]:
        shutil.copy(folder / "p0.jpg", folder / f"{image_id}.jpg")
    code = f"""
import sys
from pathlib import Path
from data_prep.runtime import row_store
from data_prep.splitting import hash_cache
row_store.SECONDS_BETWEEN_COMMITS = 0.05
ids = [f"p{{number}}" for number in range(400)]
for number, _ in enumerate(hash_cache.hash_images(ids, [Path({str(folder)!r})], num_processes=1)):
    print(number, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(100):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    outcomes = hashed(ids, folder)
    assert len({outcome.hash for outcome in outcomes}) == 1
    assert 32 <= sum(outcome.from_cache for outcome in outcomes) < 400
