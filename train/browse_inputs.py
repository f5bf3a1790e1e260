"""Shows what the model will really be fed: images after augmentation, resizing and padding, with their boxes.

Writes a page to look through (index.html, each input beside its record) and a contact sheet (contact_sheet.jpg).
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from configs.settings.augmentations.options import AUGMENTATION_OPTIONS
from configs.settings.ignoring import without_fields
from configs.settings.loading import add_config_arguments
from data_prep.runtime.atomic_files import atomic_path, write_text
from data_prep.runtime.command_line import EXIT_DONE, ArgumentParser, UsageError, UserError, positive_int, run_command
from data_prep.runtime.progress import progress
from data_prep.runtime.quiet_tensorflow import quiet_tensorflow
from train.pipeline import Pipeline, pipeline_from

if TYPE_CHECKING:
    from PIL import Image

    from train.inputs.examples import InputExample

PAGE = "index.html"
CONTACT_SHEET = "contact_sheet.jpg"
IMAGES = "images"
_AUGMENTATION = ("train_config.data_augmentation_options",)
_SPLITS = ("train", "evaluation")
_JPEG_QUALITY = 90


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = ArgumentParser(
        description=__doc__ or "",
        example="  python -m train.browse_inputs pipeline.config\n"
        "  python -m train.browse_inputs --pipeline_config_path pipeline.config --num_images 40 --seed 3",
    )
    add_config_arguments(parser)
    parser.add_argument(
        "--output_directory", type=Path, help="where to write; by default a folder browse_inputs beside the config"
    )
    parser.add_argument("--num_images", type=positive_int, default=16, help="how many images")
    parser.add_argument("--split", choices=_SPLITS, default="train", help="of which input reader")
    parser.add_argument("--eval_index", type=int, default=0, help="which eval_input_reader, with --split evaluation")
    parser.add_argument("--seed", type=int, default=0, help="another one shows other images, augmented otherwise")
    augmentation = parser.add_mutually_exclusive_group()
    augmentation.add_argument(
        "--augmented", action="store_true", help="as training augments them; so it is without this flag too"
    )
    augmentation.add_argument("--original", action="store_true", help="resized and padded only")
    arguments = parser.parse_args(_with_config_flag(sys.argv[1:] if argv is None else argv))
    if arguments.split == "evaluation" and arguments.augmented:
        raise UsageError("--augmented: evaluation never augments; leave it out, or take --split train")
    pipeline = pipeline_from(arguments)
    if arguments.original:
        pipeline = dataclasses.replace(pipeline, config=without_fields(pipeline.config, _AUGMENTATION))
    quiet_tensorflow()
    directory = arguments.output_directory or Path(arguments.pipeline_config_path).parent / "browse_inputs"
    _browse(pipeline, arguments, directory)
    return EXIT_DONE


def _with_config_flag(words: Sequence[str]) -> list[str]:
    """Lets the config's path come first, without its flag."""
    if words and not words[0].startswith("-"):
        return ["--pipeline_config_path", *words]
    return list(words)


def _browse(pipeline: Pipeline, arguments: argparse.Namespace, directory: Path) -> None:
    from train.inputs.example_images import draw_contact_sheet, draw_fed, draw_original
    from train.inputs.example_page import page

    names = pipeline.names_by_id
    examples, files = [], []
    found = progress(_examples(pipeline, arguments), description="images", total=arguments.num_images, unit="images")
    for number, example in enumerate(found, start=1):
        name = f"{IMAGES}/{number:04d}"
        _write_image(draw_original(example, names), directory / f"{name}_record.jpg")
        _write_image(draw_fed(example, names), directory / f"{name}_fed.jpg")
        files.append((f"{name}_record.jpg", f"{name}_fed.jpg"))
        examples.append(example)
    if not examples:
        raise UserError(f"{_reader(arguments)}: there is not one record in its files")
    _write_image(draw_contact_sheet(examples, names), directory / CONTACT_SHEET)
    maximum = _max_number_of_boxes(pipeline, arguments)
    summary = _summary(examples, pipeline, arguments, maximum)
    title = f"What the model is fed with: {Path(arguments.pipeline_config_path).name}"
    text = page(examples, names, files, title=title, lines=summary, max_number_of_boxes=maximum)
    write_text(directory / PAGE, text)
    print("\n".join(summary))
    print()
    print(_class_table(examples, pipeline))
    print(f"\nwritten to {directory}: {PAGE}, {CONTACT_SHEET}, and {2 * len(examples)} images in {IMAGES}")


def _examples(pipeline: Pipeline, arguments: argparse.Namespace) -> Iterator[InputExample]:
    from train.inputs.examples import read_evaluation_examples, read_training_examples

    if arguments.split == "train":
        if pipeline.settings.train_input_reader is None:
            raise UsageError("train_input_reader is not set; take --split evaluation")
        found = read_training_examples(pipeline.settings, arguments.num_images, seed=arguments.seed)
    else:
        found = read_evaluation_examples(pipeline.settings, arguments.num_images, reader_index=arguments.eval_index)
    return itertools.islice(found, arguments.num_images)


def _write_image(image: Image.Image, path: Path) -> None:
    with atomic_path(path) as temporary:
        image.save(temporary, "JPEG", quality=_JPEG_QUALITY, subsampling=0)


def _reader(arguments: argparse.Namespace) -> str:
    return "train_input_reader" if arguments.split == "train" else f"eval_input_reader[{arguments.eval_index}]"


def _max_number_of_boxes(pipeline: Pipeline, arguments: argparse.Namespace) -> int:
    if arguments.split == "train":
        return pipeline.settings.max_number_of_training_boxes
    return pipeline.settings.eval_input_reader[arguments.eval_index].max_number_of_boxes


def _summary(
    examples: Sequence[InputExample], pipeline: Pipeline, arguments: argparse.Namespace, max_number_of_boxes: int
) -> list[str]:
    """Returns what there is to say of all images together, a line each."""
    from train.inputs.example_page import lost_by_augmentation

    train_config = pipeline.settings.train_config if arguments.split == "train" else None
    options = train_config.data_augmentation_options if train_config is not None else ()
    applied = ", ".join(map(AUGMENTATION_OPTIONS.name_of, options))
    lines = [f"{len(examples)} images of {_reader(arguments)}, " + (f"with {applied}" if applied else "not augmented")]
    if len(examples) < arguments.num_images:
        lines[0] += f" (it has no more, though --num_images is {arguments.num_images})"
    sizes = sorted({example.fed.shape[:2] for example in examples})
    shown = ", ".join(f"{width} x {height}" for height, width in sizes[:4]) + (", ..." if len(sizes) > 4 else "")
    lines.append(f"size of the input, width x height: {shown}")
    losses = [
        f"{sum(map(lost_by_augmentation, examples))} left out by the augmentation",
        f"{sum(example.num_cut for example in examples)} cut by max_number_of_boxes {max_number_of_boxes}",
        f"{sum(example.num_unknown for example in examples)} of classes that the label map does not have",
    ]
    if unusable := sum(example.num_unusable for example in examples):
        losses.append(f"{unusable} that cannot be trained on")
    of_records = sum(len(example.original_objects) for example in examples)
    fed = sum(len(example.fed_objects) for example in examples)
    lines.append(f"boxes: {of_records} in the records, {fed} fed; {', '.join(losses)}")
    without = sum(len(example.fed_objects) == 0 for example in examples)
    lines.append(f"images without a box: {without}")
    images = [example.fed[: example.image_size[0], : example.image_size[1]] for example in examples]
    low, high = min(float(image.min()) for image in images), max(float(image.max()) for image in images)
    mean = sum(float(image.sum(dtype=float)) for image in images) / sum(image.size for image in images)
    lines.append(f"pixel values, before the model normalises them: {low:.1f} to {high:.1f}, mean {mean:.1f}")
    return lines


def _class_table(examples: Sequence[InputExample], pipeline: Pipeline) -> str:
    from train.inputs.example_page import count_by_class

    counts = count_by_class(examples, pipeline.names_by_id)
    width = max([len("class"), *(len(name) for name, _, _ in counts)])
    lines = [f"{'class':<{width}}  {'in the records':>14}  {'fed':>6}"]
    lines += [f"{name:<{width}}  {of_records:>14}  {fed:>6}" for name, of_records, fed in counts]
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
