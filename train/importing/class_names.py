"""The label map of an imported model: given as a file, known by the number of classes, or numbers for names."""

from __future__ import annotations

from pathlib import Path

from data_prep.formats.label_map import LabelMap, LabelMapItem, read_label_map
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.input_files import read_text

COCO_CLASSES = 90
# COCO's 80 categories by their ids, which leave out ten.
_COCO = {
    1: "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant",
    13: "stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe",
    27: "backpack, umbrella",
    31: "handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard",
    42: "surfboard, tennis racket, bottle",
    46: "wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza",
    60: "donut, cake, chair, couch, potted plant, bed",
    67: "dining table",
    70: "toilet",
    72: "tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator",
    84: "book, clock, vase, scissors, teddy bear, hair drier, toothbrush",
}
# The first line of a list of labels, as TensorFlow Lite's examples have it.
_BACKGROUND_WORDS = ("???", "background")
_MAX_TEXT_BYTES = 4 << 20


def coco_label_map() -> LabelMap:
    """The categories of COCO by the ids that the zoo's detectors give, 1 to 90."""
    return LabelMap(
        LabelMapItem(first + offset, name)
        for first, names in _COCO.items()
        for offset, name in enumerate(names.split(", "))
    )


def label_map_for(path: Path | None, num_classes: int) -> tuple[LabelMap, str]:
    """The label map of a model.

    Args:
        path: A label map `*.pbtxt`, or a text of one name a line (`???` or `background` first stands for no class).
        num_classes: The model's, without background.

    Returns:
        The label map, and a sentence that says where it is from.

    Raises:
        UsageError: The file cannot be read, or has more classes than the model.
    """
    if path is not None:
        label_map = read_label_map(path) if path.suffix != ".txt" else _read_lines(path)
        if label_map.max_id > num_classes:
            raise UsageError(f"{path}: has ids up to {label_map.max_id}, and the model has {num_classes} classes")
        return label_map, f"class names: those of {path}"
    if num_classes == COCO_CLASSES:
        return coco_label_map(), "class names: COCO's, for there are 90 classes; --label_map_path gives others"
    items = [LabelMapItem(number, f"class {number}") for number in range(1, num_classes + 1)]
    return LabelMap(items), "class names: not known, so that classes are numbered; --label_map_path gives names"


def _read_lines(path: Path) -> LabelMap:
    lines = read_text(path, "list of classes", max_bytes=_MAX_TEXT_BYTES).splitlines()
    names = [line.strip() for line in lines if line.strip()]
    if names and names[0].casefold() in _BACKGROUND_WORDS:
        names = names[1:]
    try:
        return LabelMap(LabelMapItem(number, name) for number, name in enumerate(names, start=1))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
