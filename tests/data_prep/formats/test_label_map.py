from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from data_prep.formats.label_map import (
    LabelMap,
    LabelMapItem,
    format_label_map,
    parse_label_map,
    read_label_map,
    write_label_map,
)
from data_prep.runtime.command_line import UsageError

STRANGERS = Path(__file__).resolve().parents[4] / "shared" / "wild" / "label_maps"

IN_THE_WILD = r"""# by hand
item {
  name: '/m/03ssj5'  # the bed
  id: 1,
  display_name: 'Bed'
}
item: { id: 0x7; name: "/m/" "07c52" display_name: "T\x65l\303\251 \"flat\"" }
item <
  name: "person" id: 010
  keypoints { id: 1 label: "nose" } keypoints: { id: 2, label: 'eye' },
  ancestor_ids: [1, 2] ancestor_ids: 3 descendant_ids: []
  frequency: RARE instance_count: 5
>
"""


def protobuf_label_map_class():
    """Returns the Object Detection API's StringIntLabelMap as protobuf itself knows it."""
    file = descriptor_pb2.FileDescriptorProto(name="label_map_test.proto", package="label_map_test", syntax="proto2")
    item = file.message_type.add(name="Item")
    field = descriptor_pb2.FieldDescriptorProto
    item.field.add(name="name", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    item.field.add(name="id", number=2, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    item.field.add(name="display_name", number=3, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    items = file.message_type.add(name="Map")
    items.field.add(
        name="item",
        number=1,
        type=field.TYPE_MESSAGE,
        type_name=".label_map_test.Item",
        label=field.LABEL_REPEATED,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("label_map_test.Map"))


def test_reads_what_people_have():
    label_map = parse_label_map(IN_THE_WILD)
    assert label_map.items == (
        LabelMapItem(1, "/m/03ssj5", "Bed"),
        LabelMapItem(7, "/m/07c52", 'Telé "flat"'),
        LabelMapItem(8, "person"),
    )
    assert (len(label_map), label_map.max_id) == (3, 8)
    assert label_map.id_of("/m/07c52") == 7
    assert label_map.name_of(1) == "/m/03ssj5"
    assert (label_map.display_name_of(1), label_map.display_name_of(8)) == ("Bed", "person")
    assert label_map.names_by_id() == {1: "Bed", 7: 'Telé "flat"', 8: "person"}
    assert (label_map.items[2].ancestor_ids, label_map.items[2].descendant_ids) == ((1, 2, 3), ())
    assert "person" in label_map
    assert "Bed" not in label_map


def test_what_is_written_reads_back_here_and_in_protobuf(tmp_path):
    label_map = LabelMap(
        [
            LabelMapItem(3, "/m/1", 'Jack-o\'-lantern \\ "x"'),
            LabelMapItem(1, "café\n\x01", "日本"),
            LabelMapItem(2, "b"),
        ]
    )
    path = tmp_path / "new" / "label_map.pbtxt"
    write_label_map(path, label_map)
    assert read_label_map(path) == label_map
    message = text_format.Parse(path.read_bytes(), protobuf_label_map_class()())
    assert [(item.id, item.name, item.display_name) for item in message.item] == [
        (item.id, item.name, item.display_name) for item in label_map
    ]
    assert [path.name for path in path.parent.iterdir()] == ["label_map.pbtxt"]


def test_protobufs_own_output_is_read():
    message = protobuf_label_map_class()()
    message.item.add(name="naïve \t\"'\\", id=1, display_name="\U0001f6cf")
    message.item.add(name="b", id=2)
    for as_utf8 in (True, False):
        text = text_format.MessageToString(message, as_utf8=as_utf8)
        assert parse_label_map(text).items == (
            LabelMapItem(1, "naïve \t\"'\\", "\U0001f6cf"),
            LabelMapItem(2, "b"),
        )


def test_is_written_as_the_apis_own_files_are():
    assert format_label_map(LabelMap([LabelMapItem(1, "/m/061hd_", "Infant bed")])) == (
        'item {\n  name: "/m/061hd_"\n  id: 1\n  display_name: "Infant bed"\n}\n'
    )


def test_an_item_with_a_display_name_alone_is_called_that_as_in_the_api():
    label_map = parse_label_map("item { id: 1 display_name: 'barcode' } item { id: 2 name: '' display_name: 'table' }")
    assert label_map.items == (LabelMapItem(1, "barcode", "barcode"), LabelMapItem(2, "table", "table"))
    assert label_map.id_of("table") == 2
    assert parse_label_map(format_label_map(label_map)) == label_map


def test_a_background_of_id_0_is_no_class_as_in_the_api():
    text = """item { name: "background" id: 0 display_name: "background" }
    item { name: "/m/01g317" id: 1 display_name: "person" } item { name: "12" id: 12 display_name: "12" }"""
    label_map = parse_label_map(text)
    assert [item.id for item in label_map] == [1, 12]
    assert "background" not in label_map
    by_display_name = parse_label_map("item { id: 0 display_name: 'background' } item { id: 1 name: 'a' }")
    assert by_display_name.items == (LabelMapItem(1, "a"),)


@pytest.mark.skipif(not STRANGERS.is_dir(), reason="no ../shared/wild: label maps of public repositories")
@pytest.mark.parametrize("path", sorted(STRANGERS.glob("*.pbtxt")), ids=lambda path: path.name.partition("__")[0])
def test_strangers_label_maps_are_read(path):
    label_map = read_label_map(path)
    assert parse_label_map(format_label_map(label_map)) == label_map


def test_a_typographic_quote_within_a_text_is_text():
    assert parse_label_map("item { name: 'it\u2019s \u201cit\u201d' id: 1 }").name_of(1) == "it\u2019s \u201cit\u201d"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("item { name: 'a' id: 1 }\nitem { name: 'bg' id: 0 }", 2, "'bg' has id 0; ids start at 1"),
        ("item { name: 'a' id: -1 }", 1, "id -1"),
        (
            "item { name: 'a' id: 1 }\n\nitem { name: 'b' id: 1 }",
            3,
            "id 1 is given twice, to 'a' in line 1 and to 'b' in line 3; give each class an id of its own "
            "(the API would train both as one class and call it 'a')",
        ),
        (
            "item { name: 'a' id: 1 }\nitem { name: 'a' id: 2 }",
            2,
            "name 'a' is given twice, with id 1 in line 1 and with id 2 in line 2; delete one of the two "
            "(the API would give records' 'a' id 2)",
        ),
        ("item {\n name: 'a' id: 1\n displayname: 'A' }", 3, "no field 'displayname'; did you mean 'display_name'?"),
        ("item { name: 'a' id: 1 colour { } }", 1, "no field 'colour'; known are name, id"),
        ("item { name: 'a' name: 'b' id: 1 }", 1, "'name' is given twice in one item"),
        ("item { name: 'a' }", 1, "an item without 'id'"),
        ("item { id: 1 }", 1, "an item without 'name' and without 'display_name'"),
        ("item { id: 1 display_name: '' }", 1, "empty name"),
        ("item { id: 0 name: 'background' }", 1, "no items"),
        ("item { id: 0 name: 'Background' }", 1, "has id 0"),
        ("item {\n name: \u2018cat\u2019 id: 1 }", 2, "write \u2018 (U+2018) as ', \u2019 (U+2019) as '"),
        ("item { name: \u201ccat\u201d id: 1 }", 1, 'write \u201c (U+201C) as ", \u201d (U+201D) as "'),
        ("item { name: 'cat\u2019 id: 1 }", 1, "write \u2019 (U+2019) as '"),
        ("item { name: 'cat\u2019 display_name: 'Cat' id: 1 }", 1, "write \u2019 (U+2019) as '"),
        ("item { id: 1 name: ' ' }", 1, "empty name"),
        ("item { id: '1' name: 'a' }", 1, "'id' must be a whole number, not \"'1'\""),
        ("item { id: 1.0 name: 'a' }", 1, "must be a whole number"),
        ("item { id: 1_0 name: 'a' }", 1, "must be a whole number"),
        ("item { id: 99999999999 name: 'a' }", 1, "ids go from 1 to 2147483647"),
        ("item { id: 1 name: bed }", 1, "'name' must be a text in quotes, not 'bed'"),
        ("item { id 1 name: 'a' }", 1, "expected ':' after 'id'"),
        ("item {\n id: 1 name: 'a\n' }", 2, "a quote that is never closed"),
        ("item {\n id: 1 name: 'a'", 1, "never closed"),
        ("item { id: 1 name: '\\q' }", 1, "unknown escape \\q"),
        ("item { id: 1 name: '\\xff' }", 1, "UTF-8"),
        ("item { id: 1 name: '\\777' }", 1, "\\777 is no byte"),
        ("item { id: 1 name: '\\ud800' }", 1, "is not a character"),
        ("items { id: 1 name: 'a' }", 1, "expected 'item {', found 'items'"),
        ("item 'a'", 1, "expected '{' after 'item'"),
        ("item { name: 'a\0' id: 1 }\0", 1, "cannot read"),
        ("{}", 1, "expected 'item {'"),
        ("", 1, "no items"),
        ("# nothing but this", 1, "no items"),
        ("item { " * 100_000, 1, "'item' has no field 'item'"),
    ],
)
def test_a_bad_label_map_is_refused_with_its_line(tmp_path, text, line, message):
    path = tmp_path / "label_map.pbtxt"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        read_label_map(path)
    assert str(refused.value).startswith(f"{path}:{line}: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400 + len(str(path))


def test_files_that_are_no_text_or_not_there(tmp_path):
    path = tmp_path / "label_map.pbtxt"
    with pytest.raises(UsageError, match="No such file"):
        read_label_map(path)
    with pytest.raises(UsageError, match="Is a directory"):
        read_label_map(tmp_path)
    path.write_bytes(b"item { id: 1\nname: 'caf\xe9' }")
    with pytest.raises(UsageError, match=r"label_map.pbtxt:2: not UTF-8"):
        read_label_map(path)
    path.write_bytes(b"\xef\xbb\xbfitem { id: 1\r\nname: 'a' }\r\n")
    assert read_label_map(path).items == (LabelMapItem(1, "a"),)
    with path.open("wb") as file:
        file.truncate(17 * 1024 * 1024)
    with pytest.raises(UsageError, match="larger than 16 MiB"):
        read_label_map(path)


def test_unknown_names_and_ids_say_what_is_near():
    label_map = parse_label_map(IN_THE_WILD)
    with pytest.raises(UsageError, match="class 'persn' is not in the label map; did you mean 'person'"):
        label_map.id_of("persn")
    with pytest.raises(UsageError, match="'Bed' is the display name of '/m/03ssj5'"):
        label_map.id_of("Bed")
    with pytest.raises(UsageError, match="class id 5 is not in the label map"):
        label_map.name_of(5)


def test_a_label_map_made_in_code_is_checked_too():
    with pytest.raises(UsageError, match="no items"):
        LabelMap([])
    with pytest.raises(UsageError, match="id 2 is given twice"):
        LabelMap([LabelMapItem(2, "a"), LabelMapItem(2, "b")])
