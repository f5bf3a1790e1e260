"""A folder of annotated rooms, made once and then reused."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from data_prep.formats.earlier_names import value_of
from data_prep.images.drawing import draw_boxes
from data_prep.images.image_grid import contact_sheet
from data_prep.runtime.atomic_files import TEMPORARY_PREFIX, write_json
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.progress import progress
from data_prep.runtime.staged_folder import folder_beside
from data_prep.sample_rooms.annotations import (
    AnnotatedImage,
    annotate,
    boxes_csv,
    class_descriptions_csv,
    image_path,
    images_csv,
    trainable_classes_text,
)
from data_prep.sample_rooms.rendering import SUPERSAMPLING, develop, random_finish, render
from data_prep.sample_rooms.scene import CLASS_MIDS, random_scene

SUBSETS = ("train", "validation")
MANIFEST_NAME = "sample_set.json"
CONTACT_SHEET_NAME = "contact_sheet.jpg"
CLASS_DESCRIPTIONS_NAME = "class-descriptions-boxable.csv"
TRAINABLE_CLASSES_NAME = "trainable-classes.txt"
# Part of the manifest: a set made by an earlier generator is another set.
GENERATOR_VERSION = 1
BASE_URL = "http://localhost:8000"
IMAGES_ON_CONTACT_SHEET = 12


@dataclass(frozen=True)
class SampleSetOptions:
    """Options that determine a sample set.

    Attributes:
        num_train: How many images the train subset has.
        num_validation: How many the validation subset has.
        seed: Another seed gives other rooms.
        image_width: In pixels.
        image_height: In pixels.
    """

    num_train: int = 120
    num_validation: int = 30
    seed: int = 0
    image_width: int = 512
    image_height: int = 384

    def count_of(self, subset: str) -> int:
        """Returns how many images a subset has."""
        return {"train": self.num_train, "validation": self.num_validation}[subset]


@dataclass(frozen=True)
class SampleSetSummary:
    """Contents of a finished set.

    Attributes:
        directory: Where it is.
        reused: Whether it was there already.
        images: How many, by subset.
        boxes: How many, by subset and class name.
        images_with: How many images show each class, by subset and class name.
        contact_sheet: The path of a sheet of its images with their boxes.
    """

    directory: Path
    reused: bool
    images: dict[str, int]
    boxes: dict[str, dict[str, int]]
    images_with: dict[str, dict[str, int]]
    contact_sheet: Path


def image_id_of(seed: int, subset: str, index: int) -> str:
    """Returns an image's id, 16 hexadecimal digits as in Open Images."""
    return hashlib.sha256(f"{seed}/{subset}/{index}".encode("ascii")).hexdigest()[:16]


def make_image(options: SampleSetOptions, subset: str, index: int) -> AnnotatedImage:
    """Returns one image of a set; it depends on the seed, the subset, the index and the size, and on nothing else."""
    rng = np.random.default_rng([options.seed, SUBSETS.index(subset), index])
    size = (options.image_width * SUPERSAMPLING, options.image_height * SUPERSAMPLING)
    scene = random_scene(rng, size)
    linear, faces, visible = render(scene)
    jpeg = develop(linear, random_finish(rng, night=scene.night), rng)
    boxes = tuple(annotate(scene, faces, visible))
    return AnnotatedImage(image_id_of(options.seed, subset, index), subset, jpeg, boxes)


def make_sample_set(
    output_directory: str | os.PathLike[str],
    options: SampleSetOptions,
    *,
    num_processes: int = 1,
    overwrite: bool = False,
) -> SampleSetSummary:
    """Makes a set, or finds it made already.

    The set is built beside `output_directory` and moved there when it is whole. What it holds is the same whatever the
    number of processes.

    Args:
        output_directory: Its folder; made if missing.
        options: What the set depends on.
        num_processes: How many work at once.
        overwrite: Replaces a sample set that was made with other options. Other people's files are never replaced.

    Raises:
        UsageError: The folder holds something else, or another set and `overwrite` is not given.
    """
    directory = Path(output_directory)
    previous = _read_manifest(directory)
    if previous is not None and previous["options"] == asdict(options) and _is_whole(directory, options):
        return _summary(directory, previous, reused=True)
    same = previous is not None and previous["options"] == asdict(options)
    if previous is not None and not same and not overwrite:
        made_with = ", ".join(f"{name} {value}" for name, value in previous["options"].items())
        raise UsageError(
            f"{directory} holds a sample set made with other options ({made_with}): give another --output_directory, "
            "or --overwrite to replace it"
        )
    with folder_beside(directory, f"{TEMPORARY_PREFIX}sample-set-") as building:
        images = list(_all_images(options, num_processes))
        manifest = _write_set(building, options, images)
        if previous is not None:
            _remove_set(directory, previous["options"])
        _move_into(building, directory)
    return _summary(directory, manifest, reused=False)


def _all_images(options: SampleSetOptions, num_processes: int) -> Iterator[AnnotatedImage]:
    subsets = [subset for subset in SUBSETS for _ in range(options.count_of(subset))]
    indices = [index for subset in SUBSETS for index in range(options.count_of(subset))]
    everything = [options] * len(subsets)
    made: Iterable[AnnotatedImage]
    if num_processes == 1:
        made = map(make_image, everything, subsets, indices)
        yield from progress(made, description="drawing rooms", total=len(subsets), unit="images")
        return
    # Spawned, not forked: a fork of a process with threads (a caller's TensorFlow, say) can hang.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(min(num_processes, len(subsets)), mp_context=context)
    try:
        made = executor.map(make_image, everything, subsets, indices, chunksize=2)
        yield from progress(made, description="drawing rooms", total=len(subsets), unit="images")
    finally:
        executor.shutdown(cancel_futures=True)


def _write_set(
    building: Path, options: SampleSetOptions, images: Sequence[AnnotatedImage]
) -> dict[str, dict[str, dict[str, int]]]:
    """Writes all files of a set into an empty folder, the manifest last, and returns the manifest."""
    (building / CLASS_DESCRIPTIONS_NAME).write_text(class_descriptions_csv(), encoding="utf-8")
    (building / TRAINABLE_CLASSES_NAME).write_text(trainable_classes_text(), encoding="utf-8")
    boxes: dict[str, dict[str, int]] = {}
    images_with: dict[str, dict[str, int]] = {}
    for subset in SUBSETS:
        own = [image for image in images if image.subset == subset]
        (building / "images" / subset).mkdir(parents=True)
        for image in own:
            (building / image_path(subset, image.image_id)).write_bytes(image.jpeg)
        (building / f"{subset}-annotations-bbox.csv").write_text(boxes_csv(own), encoding="utf-8")
        (building / f"{subset}-images.csv").write_text(images_csv(own, BASE_URL), encoding="utf-8")
        counted = Counter(box.class_name for image in own for box in image.annotations)
        seen = Counter(name for image in own for name in {box.class_name for box in image.annotations})
        boxes[subset] = {name: counted[name] for name in CLASS_MIDS}
        images_with[subset] = {name: seen[name] for name in CLASS_MIDS}
    _sheet_of(images[:IMAGES_ON_CONTACT_SHEET]).save(building / CONTACT_SHEET_NAME, quality=90)
    manifest = {
        "generator_version": GENERATOR_VERSION,
        "options": asdict(options),
        "boxes": boxes,
        "images_with": images_with,
    }
    write_json(building / MANIFEST_NAME, manifest, indent=2)
    return manifest  # type: ignore[return-value]


def _sheet_of(images: Sequence[AnnotatedImage]) -> Image.Image:
    drawn = []
    for annotated in images:
        image = Image.open(io.BytesIO(annotated.jpeg))
        size = np.array([image.height, image.width, image.height, image.width])
        boxes = [(box.ymin, box.xmin, box.ymax, box.xmax) for box in annotated.annotations]
        pixels = np.array(boxes).reshape(-1, 4) * size
        drawn.append(draw_boxes(image, pixels, [box.class_name for box in annotated.annotations]))
    return contact_sheet(drawn, columns=3)


def _read_manifest(directory: Path) -> dict | None:
    """Returns the manifest of a set in `directory`; None where the folder is missing or empty."""
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"--output_directory {directory} is a file, not a folder")
    if not directory.is_dir() or not any(directory.iterdir()):
        return None
    try:
        manifest = json.loads((directory / MANIFEST_NAME).read_text(encoding="utf-8"))
        known = manifest["generator_version"] == GENERATOR_VERSION
        SampleSetOptions(**manifest["options"])
        manifest["images_with"] = value_of(manifest, "images_with")
        if "boxes" not in manifest:
            raise ValueError("it counts no boxes")
    except FileNotFoundError:
        raise UsageError(
            f"{directory} is not empty and holds no sample set ({MANIFEST_NAME} is not there): nothing in it was "
            "changed; give another --output_directory"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{directory / MANIFEST_NAME} is not a sample set's manifest ({error}): remove it") from error
    if not known:
        manifest["options"]["generator_version"] = manifest["generator_version"]
    return manifest


def _files_of(options: SampleSetOptions) -> Iterator[str]:
    yield from (CLASS_DESCRIPTIONS_NAME, TRAINABLE_CLASSES_NAME, CONTACT_SHEET_NAME)
    for subset in SUBSETS:
        yield from (f"{subset}-annotations-bbox.csv", f"{subset}-images.csv")
        for index in range(options.count_of(subset)):
            yield image_path(subset, image_id_of(options.seed, subset, index))


def _is_whole(directory: Path, options: SampleSetOptions) -> bool:
    return all((directory / name).is_file() for name in _files_of(options))


def _remove_set(directory: Path, options: dict) -> None:
    """Removes an earlier set's own files, and nothing else."""
    known = {name: value for name, value in options.items() if name != "generator_version"}
    (directory / MANIFEST_NAME).unlink(missing_ok=True)
    for name in _files_of(SampleSetOptions(**known)):
        (directory / name).unlink(missing_ok=True)


def _move_into(building: Path, directory: Path) -> None:
    """Moves all files of a finished set into its folder, the manifest last: without it, it is no set."""
    names = [path.relative_to(building) for path in sorted(building.rglob("*")) if path.is_file()]
    for name in sorted(names, key=lambda name: name.name == MANIFEST_NAME):
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (building / name).replace(target)


def _summary(directory: Path, manifest: dict, *, reused: bool) -> SampleSetSummary:
    options = SampleSetOptions(**manifest["options"])
    return SampleSetSummary(
        directory=directory,
        reused=reused,
        images={subset: options.count_of(subset) for subset in SUBSETS},
        boxes=manifest["boxes"],
        images_with=manifest["images_with"],
        contact_sheet=directory / CONTACT_SHEET_NAME,
    )
