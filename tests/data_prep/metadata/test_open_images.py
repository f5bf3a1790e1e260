from __future__ import annotations

import gzip

import pytest

from data_prep.metadata.open_images import (
    nearest_classes,
    read_class_descriptions,
    read_class_list,
    resolve_classes,
    wanted_classes,
)
from data_prep.runtime.command_line import UsageError

DESCRIPTIONS = {
    "/m/03ssj5": "Bed",
    "/m/07c52": "Television",
    "/m/0h8mzrc": "Wall clock",
    "/m/06_dn": "Mercury",
    "/m/0513q": "Mercury",
}


def test_descriptions_with_and_without_a_header_quotes_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "classes.csv"
    for header in ("", "LabelName,DisplayName\r\n", "\ufeffLabelName,DisplayName\n", "\ufeff"):
        path.write_text(
            header + '/m/03ssj5,Bed\r\n\r\n/m/0100,"Salt, pepper ""and"" co"\n/m/0jack,Jack-o\'-lantern', "utf-8"
        )
        assert read_class_descriptions(path) == {
            "/m/03ssj5": "Bed",
            "/m/0100": 'Salt, pepper "and" co',
            "/m/0jack": "Jack-o'-lantern",
        }
    path.write_bytes(gzip.compress(b"/m/03ssj5,Bed\n"))
    assert read_class_descriptions(path) == {"/m/03ssj5": "Bed"}


@pytest.mark.parametrize("header", ["id,name", "ID,Name", "mid,display_name", "label, class_name", "class_id,class"])
def test_another_header_is_passed_over_with_a_note(tmp_path, capsys, header):
    path = tmp_path / "classes.csv"
    path.write_text(f"{header}\n/m/03ssj5,Bed\nbed,Small bed\n")
    assert read_class_descriptions(path) == {"/m/03ssj5": "Bed", "bed": "Small bed"}
    assert capsys.readouterr().err == f"note: {path}:1: '{header.replace(', ', ',')}' is passed over as a header\n"


def test_after_a_header_a_label_need_be_no_mid(tmp_path, capsys):
    path = tmp_path / "classes.csv"
    path.write_text("LabelName,DisplayName\nid,name\nlabelname,Label\n")
    assert read_class_descriptions(path) == {"id": "name", "labelname": "Label"}
    assert capsys.readouterr().err == ""


def test_the_header_of_a_class_list_is_no_class(tmp_path, capsys):
    path = tmp_path / "trainable.txt"
    path.write_text("LabelName\n/m/03ssj5\nmid\n")
    assert read_class_list(path) == [(f"{path}:2", "/m/03ssj5"), (f"{path}:3", "mid")]
    assert capsys.readouterr().err == f"note: {path}:1: 'LabelName' is passed over as a header\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no class descriptions"),
        (b"bed,Bed\n/m/1,Table\n", ":1: 'bed,Bed' is neither a MID and its name"),
        (b"\n\nname,id\n/m/1,Table\n", ":3: 'name,id' is neither a MID and its name"),
        (b"id,Bed\n/m/1,Table\n", ":1: 'id,Bed' is neither a MID and its name"),
        (b"id,name\n", "no class descriptions"),
        (b"a\x1b[2J,b\n/m/1,Table\n", ":1: 'a\\\\x1b[2J,b' is neither"),
        (b"LabelName,DisplayName\n", "no class descriptions"),
        (b"/m/1,Bed\n/m/2\n", ":2: expected MID,Name"),
        (b"/m/1,Bed, single\n", ":1: expected MID,Name"),
        (b"/m/1,Bed\n/m/2,\n", ":2: expected MID,Name"),
        (b"/m/1,Bed\n/m/1,Table\n", ":2: /m/1 is called 'Table' here and 'Bed' before"),
        (b"/m/1,B\xe9d\n", "not UTF-8 text (it holds the byte 0xe9)"),
        ("/m/1,Bed\n".encode("utf-16"), "UTF-16"),
        (b"/m/1,Be\0d\n", ":1: a NUL character"),
        (b"/m/1," + b"x" * 200_000, ":1: not CSV: field larger than field limit"),
        (b'/m/1,"Bed\n/m/2,Table\n', "not CSV"),
        (b"\x1f\x8b\x08 and no more", "damaged"),
    ],
)
def test_bad_descriptions_are_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "classes.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        read_class_descriptions(path)
    assert str(refused.value).startswith(str(path))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300 + len(str(path))


def test_a_class_list_passes_over_blank_lines_and_comments(tmp_path):
    path = tmp_path / "trainable.txt"
    path.write_text("# what to find\n/m/03ssj5\r\n\n  Wall clock  # the round ones\n\t\nC#\n")
    assert read_class_list(path) == [(f"{path}:2", "/m/03ssj5"), (f"{path}:4", "Wall clock"), (f"{path}:6", "C#")]
    path.write_text("# nothing\n")
    with pytest.raises(UsageError, match="no classes in it"):
        read_class_list(path)


def test_classes_resolve_by_mid_name_and_any_letter_case():
    wanted = [("x", "television"), ("x", "/m/03ssj5"), ("x", "Wall Clock"), ("x", "/m/0513q")]
    assert resolve_classes(wanted, DESCRIPTIONS) == ["/m/07c52", "/m/03ssj5", "/m/0h8mzrc", "/m/0513q"]
    assert resolve_classes([("x", "anything")], None) == ["anything"]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (
            ["Televison"],
            "f:1: class 'Televison' is not in the class descriptions; did you mean 'Television' (/m/07c52)",
        ),
        (["Bed", "/m/07c53"], "f:2: class '/m/07c53' is not in the class descriptions; did you mean 'Television'"),
        (["clock"], "did you mean 'Wall clock' (/m/0h8mzrc)"),
        (["zzzzzz"], "nothing is spelt like it"),
        (["Bed", "Wall clock", "/m/03ssj5"], "f:3: class '/m/03ssj5' is given twice (before: f:1)"),
        (["Mercury"], "f:1: 2 classes are called 'Mercury'; give the MID: /m/06_dn, /m/0513q"),
        (["x" * 100_000], "is not in the class descriptions"),
    ],
)
def test_classes_that_cannot_be_meant_are_refused(classes, message):
    with pytest.raises(UsageError) as refused:
        resolve_classes([(f"f:{line}", text) for line, text in enumerate(classes, start=1)], DESCRIPTIONS)
    assert message in str(refused.value)
    assert len(str(refused.value)) < 400


def test_nearest_classes_come_with_their_mid():
    assert nearest_classes("bad", DESCRIPTIONS, count=1) == ["'Bed' (/m/03ssj5)"]
    assert nearest_classes("/m/0h8mzr", DESCRIPTIONS, count=1) == ["'Wall clock' (/m/0h8mzrc)"]


def test_flags_choose_classes(tmp_path):
    path = tmp_path / "trainable.txt"
    path.write_text("Television\nBed\n")
    assert wanted_classes(None, None, DESCRIPTIONS) is None
    assert wanted_classes(str(path), None, DESCRIPTIONS) == ["/m/07c52", "/m/03ssj5"]
    assert wanted_classes(None, ["Bed"], DESCRIPTIONS) == ["/m/03ssj5"]
    assert wanted_classes(None, ["Bed"], None) == ["Bed"]
    with pytest.raises(UsageError, match="exclude each other"):
        wanted_classes(str(path), ["Bed"], DESCRIPTIONS)
    with pytest.raises(UsageError, match="--classes: an empty class name"):
        wanted_classes(None, [" "], None)
