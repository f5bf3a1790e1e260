"""Pascal VOC's XML, one file an image, as the challenge, LabelImg and their followers write it.

The XML is not trusted. The standard parser (expat) reads no external file by itself; the remaining risk is entities
that expand without bound, and those need a DOCTYPE, which no writer of this format has: the first is refused as soon as
it is seen. With the bounds on bytes and elements nothing else grows, so no further library is needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from data_prep.annotations.source_image import (
    Reject,
    SourceBox,
    SourceImage,
    SourceSet,
    read_number,
    read_side,
    shown,
)
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import RejectedError

MAX_BYTES = 4 * 1024 * 1024  # of one file; a box takes some 300
MAX_DEPTH = 32

_EDGES = ("xmin", "ymin", "xmax", "ymax")
_AFTER_TAG = re.compile(rb"(?<=>)")


def read_pascal_voc(path: Path, *, first_pixel: int, reject: Reject) -> SourceSet:
    """Reads a folder of XML files, or a VOC folder that has one called `Annotations`.

    `difficult` becomes `is_difficult`, kept where it is true; `truncated` and `occluded` become the flags of points.

    Args:
        path: The folder; folders in it are read as well.
        first_pixel: The number of the first column and row: 1 takes one pixel from xmin and ymin.
        reject: Takes what cannot be used.

    Raises:
        UsageError: There are no XML files.
    """
    folder = path / "Annotations" if (path / "Annotations").is_dir() else path
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; Pascal VOC has one XML file for each image in a folder")
    files = sorted(folder.rglob("*.xml"))
    if not files:
        raise UsageError(f"{folder}: no XML files in it")
    return SourceSet(_images(folder, files, first_pixel, reject), None)


def _images(folder: Path, files: list[Path], first_pixel: int, reject: Reject) -> Iterator[SourceImage]:
    for file in files:
        inner = file.relative_to(folder)
        where = inner.as_posix()
        try:
            root = parse_untrusted_xml(file)
            if root.tag != "annotation":
                raise RejectedError("not an annotation", f"the XML's root is {shown(root.tag)}")
        except RejectedError as error:
            reject(where, error.reason, error.detail)
            continue
        boxes = []
        elements = root.findall("object")
        for number, element in enumerate(elements, start=1):
            of_object = f"{where}: object {number}"
            try:
                boxes.append(_box(of_object, element, first_pixel))
            except RejectedError as error:
                reject(of_object, error.reason, error.detail)
        in_folder = "" if inner.parent == Path() else f"{inner.parent.as_posix()}/"
        # A file that was renamed after labelling keeps its old name within the XML; the XML's own name then helps.
        names = [in_folder + text for text in (_text(root, "filename"), file.stem) if text]
        size = root.find("size")
        yield SourceImage(
            where,
            tuple(dict.fromkeys(names)),
            is_relative=False,
            boxes=tuple(boxes),
            width=read_side(_text(size, "width")),
            height=read_side(_text(size, "height")),
            num_rejected=len(elements) - len(boxes),
        )


def _box(where: str, element: ElementTree.Element, first_pixel: int) -> SourceBox:
    box = element.find("bndbox")
    if box is None:
        raise RejectedError("not a box", "no <bndbox>")
    xmin, ymin, xmax, ymax = (read_number(_text(box, edge), edge) for edge in _EDGES)
    extra = {"is_truncated": _flag(element, "truncated"), "is_occluded": _flag(element, "occluded")}
    if _flag(element, "difficult"):
        extra["is_difficult"] = True
    return SourceBox(where, _text(element, "name"), xmin - first_pixel, ymin - first_pixel, xmax, ymax, extra)


def _flag(element: ElementTree.Element, name: str) -> bool:
    text = _text(element, name).casefold()
    if text in ("", "0", "false", "unspecified"):
        return False
    if text in ("1", "true"):
        return True
    raise RejectedError("bad flag", f"<{name}> is {shown(text)}, not 0 or 1")


def _text(element: ElementTree.Element | None, name: str) -> str:
    return "" if element is None else (element.findtext(name) or "").strip()


def parse_untrusted_xml(path: Path) -> ElementTree.Element:
    """Returns the root element of an XML file from anywhere.

    Raises:
        RejectedError: It is too large or too deep, has a DOCTYPE, or is not XML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RejectedError("unreadable", error.strerror or str(error)) from error
    if len(content) > MAX_BYTES:
        raise RejectedError("too many bytes", f"more than {MAX_BYTES // 2**20} MiB")
    builder = _Builder()
    parser = ElementTree.XMLParser(target=builder)
    try:
        # Tag by tag: an exception stops expat only between two pieces, and it has to stop before any entity.
        for piece in _AFTER_TAG.split(content):
            parser.feed(piece)
        root: ElementTree.Element = parser.close()
    except ElementTree.ParseError as error:
        raise RejectedError("not XML", str(error)) from error
    except (LookupError, ValueError) as error:
        if isinstance(error, RejectedError):
            raise
        raise RejectedError("not XML", f"{error}") from error  # an unknown encoding
    return root


class _Builder(ElementTree.TreeBuilder):
    """Builds the tree; refuses a DOCTYPE, and nesting that no annotation has."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Called at a DOCTYPE, before what it declares."""
        raise RejectedError("XML with a DOCTYPE", "entities could expand without bound; remove the declaration")

    def start(self, tag: str, attrs: dict[str, str]) -> ElementTree.Element:
        """Begins an element."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise RejectedError("not an annotation", f"elements {MAX_DEPTH} deep")
        return super().start(tag, attrs)

    def end(self, tag: str) -> ElementTree.Element:
        """Ends an element."""
        self._depth -= 1
        return super().end(tag)
