"""Pascal VOC's XML, written here by a writer of its own, and what strangers put into XML."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_prep.annotations.conversion_options import Options
from data_prep.annotations.pascal_voc import MAX_BYTES, parse_untrusted_xml, read_pascal_voc
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import RejectedError

ZERO: dict[str, Any] = {"first_pixel": 0}
BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"


def object_xml(label: str, xmin: float, ymin: float, xmax: float, ymax: float, more: str = "") -> str:
    return (
        f"<object><name>{label}</name><pose>Left</pose>{more}<bndbox><xmax>{xmax}</xmax><xmin>{xmin}</xmin>"
        f"<ymin>{ymin}</ymin><ymax>{ymax}</ymax></bndbox></object>"
    )


def xml(file_name: str, width: int, height: int, objects: str) -> str:
    return (
        f"<annotation><folder>VOC2012</folder><filename>{file_name}</filename><size><width>{width}</width>"
        f"<height>{height}</height><depth>3</depth></size>{objects}</annotation>"
    )


def write_scenes(folder: Path, scenes: Any, offset: int = 0) -> Path:
    """Writes the scenes; `offset` 1 as the challenge counts: the first pixel is 1, the last one is in the box."""
    (folder / "Annotations").mkdir(parents=True)
    for scene in scenes:
        objects = "".join(
            object_xml(label, xmin + offset, ymin + offset, xmax, ymax) for label, xmin, ymin, xmax, ymax in scene.boxes
        )
        text = xml(scene.file_name, scene.width, scene.height, objects)
        (folder / "Annotations" / f"{scene.stem}.xml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("first_pixel", [0, 1])
def test_the_scenes_come_out_as_drawn(
    tmp_path: Path, scenes: Any, converted: Any, agrees_with_scenes: Callable[[Any], None], first_pixel: int
) -> None:
    folder = write_scenes(tmp_path / "VOC2012", scenes, first_pixel)
    agrees_with_scenes(converted(read_pascal_voc, folder, first_pixel=first_pixel))
    agrees_with_scenes(converted(read_pascal_voc, folder / "Annotations", first_pixel=first_pixel))


def test_flags_and_parts(tmp_path: Path, converted: Any) -> None:
    part = f"<part><name>head</name>{BOX}</part>"
    objects = (
        object_xml("person", 5, 5, 50, 60, "<truncated>1</truncated><difficult>0</difficult>" + part)
        + object_xml("person", 5, 5, 50, 60, "<occluded>1</occluded><difficult>1</difficult>")
        + object_xml("person", 5, 5, 50, 60, "<truncated>Unspecified</truncated>")
        + object_xml("person", 5, 5, 50, 60, "<truncated>perhaps</truncated>")
    )
    (tmp_path / "a.xml").write_text(xml("a.jpg", 100, 100, objects))
    result = converted(read_pascal_voc, tmp_path, **ZERO)
    first, second, third = result.points[0]["annotations"]
    assert (first["is_truncated"], first["is_occluded"], "is_difficult" in first) == (True, False, False)
    assert (second["is_truncated"], second["is_occluded"], second["is_difficult"]) == (False, True, True)
    assert not third["is_truncated"]
    assert first["x0"] == 0.05  # not the head's
    assert result.rejected == [("a.xml: object 4", "bad flag", "<truncated> is 'perhaps', not 0 or 1")]


def test_bad_objects_are_rejected_and_the_rest_of_the_file_is_kept(tmp_path: Path, converted: Any) -> None:
    objects = [
        object_xml("a", 5, 5, 50, 60),
        f"<object>{BOX}</object>",
        "<object><name>a</name></object>",
        object_xml("a", 50, 5, 5, 60),
        object_xml("a", 5, 5, 5, 60),
        object_xml("a", 5, 5, 400, 60),
        object_xml("a", "x", 5, 50, 60),  # type: ignore[arg-type]
        object_xml("a", "nan", 5, 50, 60),  # type: ignore[arg-type]
        object_xml("a&#x202e;b", 5, 5, 50, 60),
        object_xml("a", 5.5, 5.25, 50.75, 60),
        object_xml("a", "0_5", 5, 50, 60),  # type: ignore[arg-type]
        object_xml("a", "&#x0665;", 5, 50, 60),  # type: ignore[arg-type]
    ]
    (tmp_path / "a.xml").write_text(xml("a.jpg", 100, 100, "".join(objects)))
    result = converted(read_pascal_voc, tmp_path, **ZERO)
    assert len(result.points[0]["annotations"]) == 2
    assert sorted((int(where.rpartition(" ")[2]), reason) for where, reason, _ in result.rejected) == [
        (2, "bad label"),
        (3, "not a box"),
        (4, "reversed box"),
        (5, "box without area"),
        (6, "box outside the image"),
        (7, "not a number"),
        (8, "not a number"),
        (9, "bad label"),
        (11, "not a number"),
        (12, "not a number"),
    ]


def test_without_a_size_the_header_of_the_image_gives_it(
    tmp_path: Path, image_folder: Path, scenes: Any, converted: Any
) -> None:
    scene = scenes[0]
    objects = "".join(object_xml(*box) for box in scene.boxes)
    (tmp_path / "xml").mkdir()
    (tmp_path / "xml" / "a.xml").write_text(xml(scene.file_name, 0, 0, objects))
    lacking = converted(read_pascal_voc, tmp_path / "xml", **ZERO)
    assert lacking.reasons == ["no image size"] and lacking.points == []
    result = converted(read_pascal_voc, tmp_path / "xml", Options(image_directory=image_folder), **ZERO)
    assert result.boxes_in_pixels("000001", 160, 120)[0] == ("red block", 16, 8, 64, 56)


def test_a_stale_filename_gives_way_to_the_name_of_the_xml_where_that_image_is(
    tmp_path: Path, image_folder: Path, converted: Any
) -> None:
    (tmp_path / "xml").mkdir()
    (tmp_path / "xml" / "000001.xml").write_text(xml("DSC_0001.JPG", 160, 120, object_xml("a", 16, 8, 64, 56)))
    result = converted(read_pascal_voc, tmp_path / "xml", Options(image_directory=image_folder), **ZERO)
    assert [point["id"] for point in result.points] == ["000001"]


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (f'<!DOCTYPE a [<!ENTITY l0 "lol">{LAUGHS}]><annotation>&l9;</annotation>'.encode(), "XML with a DOCTYPE"),
        (
            f'<!DOCTYPE a [<!ENTITY l0 "lol">{LAUGHS}]><annotation>&l9;</annotation>'.encode("utf-16"),
            "XML with a DOCTYPE",
        ),
        (
            b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><annotation><filename>&x;</filename></annotation>',
            "XML with a DOCTYPE",
        ),
        (b'<!DOCTYPE a SYSTEM "http://localhost:9/a.dtd"><annotation/>', "XML with a DOCTYPE"),
        (b"<annotation>&l0;</annotation>", "not XML"),
        (b"<annotation><object>", "not XML"),
        (b"", "not XML"),
        (b"\x00\x01\x02garbage", "not XML"),
        (b'<?xml version="1.0" encoding="no-such-thing"?><annotation/>', "not XML"),
        (b"<annotation>" + b"<a>" * 100_000, "not an annotation"),
        (b"<annotation>" + b" " * MAX_BYTES + b"</annotation>", "too many bytes"),
    ],
)
def test_hostile_xml_is_refused_at_once(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(content)
    begin = time.process_time()
    with pytest.raises(RejectedError) as refused:
        parse_untrusted_xml(path)
    assert refused.value.reason == reason
    assert time.process_time() - begin < 1


def test_a_bad_file_does_not_stop_the_others(
    tmp_path: Path, scenes: Any, converted: Any, agrees_with_scenes: Callable[[Any], None]
) -> None:
    folder = write_scenes(tmp_path, scenes) / "Annotations"
    (folder / "bad.xml").write_text("<annotation>")
    (folder / "html.xml").write_text("<html></html>")
    (folder / "up.xml").write_text(xml("../../up.jpg", 10, 10, "").replace("up.jpg", "etc/passwd"))
    result = converted(read_pascal_voc, tmp_path, **ZERO)
    assert sorted((where, reason) for where, reason, _ in result.rejected) == [
        ("bad.xml", "not XML"),
        ("html.xml", "not an annotation"),
    ]
    # A name that leads out is not followed; the XML's own name is what remains.
    assert {point["id"] for point in result.points} == {"up", *(scene.stem for scene in scenes)}


def test_old_encodings_are_read(tmp_path: Path, converted: Any) -> None:
    text = '<?xml version="1.0" encoding="ISO-8859-1"?>' + xml("a.jpg", 100, 100, object_xml("Küche", 1, 1, 9, 9))
    (tmp_path / "a.xml").write_bytes(text.encode("latin-1"))
    assert converted(read_pascal_voc, tmp_path, **ZERO).points[0]["annotations"][0]["label"] == "Küche"


def test_no_folder_and_no_files_are_refused(tmp_path: Path) -> None:
    for path, word in ((tmp_path, "no XML"), (tmp_path / "x.xml", "is no folder")):
        with pytest.raises(UsageError, match=word):
            read_pascal_voc(path, first_pixel=0, reject=lambda *_: None)
