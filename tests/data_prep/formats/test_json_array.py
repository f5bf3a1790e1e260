from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from data_prep.formats import json_array
from data_prep.formats.json_array import encoded_json_array_writer, on_one_line, read_array_items
from data_prep.runtime.command_line import UsageError

ITEMS = [
    {"id": "a", "text": 'a "quoted", [nested] }{ \\ text'},
    {"id": "é漢😀", "n": [1, 2.5, {"x": None}]},
    {"id": "c"},
]


def values(path: Path) -> list[object]:
    return [item.value for item in read_array_items(path)]


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "array.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def laid_out(items: list[Any], layout: str, *, ensure_ascii: bool) -> str:
    """Returns a JSON array, in a layout in which a file may come."""
    texts = [json.dumps(item, ensure_ascii=ensure_ascii) for item in items]
    return {
        "a line each": "[\n" + ",\n".join(texts) + "\n]\n",
        "Windows' line ends": "[\r\n" + ",\r\n".join(texts) + "\r\n]\r\n",
        "a line each, and more": "[\n" + ",\n".join(texts) + "\n]\n \n",
        "two in the last line": "[\n" + ",\n".join(texts[:-1]) + "," + texts[-1] + "]",
        "commas at the front": "[\n" + "\n,".join(texts) + "\n]",
        "one line": " \n" + ", ".join(texts).join("[]") + "\n\n",
        "indented": json.dumps(items, indent=2, ensure_ascii=ensure_ascii),
        "byte order mark": "\ufeff[\n" + ",\n".join(texts) + "\n]\n",
    }[layout]


@pytest.mark.parametrize(
    "layout",
    [
        "a line each",
        "Windows' line ends",
        "a line each, and more",
        "two in the last line",
        "commas at the front",
        "one line",
        "indented",
        "byte order mark",
    ],
)
@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_items_come_whole_in_any_layout(tmp_path: Path, layout: str, ensure_ascii: bool) -> None:
    path = written(tmp_path, laid_out(ITEMS, layout, ensure_ascii=ensure_ascii))
    content = path.read_bytes()
    items = list(read_array_items(path))
    assert [item.value for item in items] == ITEMS
    assert [item.number for item in items] == [1, 2, 3]
    for item in items:  # the place and the text are those of the file
        assert content[item.start : item.start + len(item.text)] == item.text
        assert json.loads(item.text) == item.value


def test_what_is_copied_says_the_same_an_item_a_line(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(ITEMS, indent=4, ensure_ascii=False))
    copy = tmp_path / "copy.json"
    with encoded_json_array_writer(copy) as write:
        for item in read_array_items(path):
            write(on_one_line(item.text))
    assert json.loads(copy.read_bytes()) == ITEMS
    assert len(copy.read_text().splitlines()) == len(ITEMS) + 2


@pytest.mark.parametrize("text", ["[]", " [ \n ] ", "\ufeff[]"])
def test_an_empty_array_has_no_items(tmp_path: Path, text: str) -> None:
    assert values(written(tmp_path, text)) == []


def test_an_empty_array_is_written_as_one(tmp_path: Path) -> None:
    with encoded_json_array_writer(tmp_path / "none.json"):
        pass
    assert json.loads((tmp_path / "none.json").read_bytes()) == []


def test_nothing_is_written_where_writing_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), encoded_json_array_writer(tmp_path / "none.json") as write:
        write(b"{}")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ('{"id": 1}', ":1:1: .*array"),
        ('[{"id": 1}', "within the array"),
        ('[{"id": 1},\n {"id" 2}]', r":2:8: .*':'"),
        ('[{"id": 1}\n{"id": 2}]', ":2:1: .*','"),
        ('[{"id": 1},]', ":1:12: "),
        ("[{}] x", "after the array's end"),
        ("[NaN]", "NaN"),
        ('[{"id": Infinity}]', "Infinity"),
        ("[" + "[" * 100_000, "nested|JSON"),
        ("[" + "9" * 10_000 + "]", "JSON"),
        (b'[{"id": "\xff\xfe"}]', ":1:10: .*UTF-8"),
        (b"\x1f\x8b\x00 gzip", "array"),
    ],
)
def test_what_is_no_array_is_named_with_its_place(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        values(written(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_only_a_file_with_an_item_a_line_may_be_larger_than_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_array, "MAX_WHOLE_BYTES", 16 * 1024)
    items = [{"id": "a" * 100}] * 1000
    path = written(tmp_path, laid_out(items, "a line each", ensure_ascii=True))
    assert values(path) == items
    for layout in ("one line", "indented"):
        with pytest.raises(UsageError, match=r":[12]: not an object alone in its line, as a file of over 0 MiB must"):
            values(written(tmp_path, laid_out(items, layout, ensure_ascii=True)))
    lines = laid_out(items, "a line each", ensure_ascii=True).splitlines(keepends=True)
    written(tmp_path, "".join([*lines[:501], "x", *lines[501:]]))
    with pytest.raises(UsageError, match=r"array\.json:502: not an object alone"):
        values(path)


def test_an_item_without_an_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "MAX_LINE_BYTES", 16 * 1024)
    monkeypatch.setattr(json_array, "MAX_WHOLE_BYTES", 500_000)
    for start in ('[{"id": "', '[\n{"id": "'):
        with pytest.raises(UsageError, match="not an object alone in its line"):
            values(written(tmp_path, start + "a" * 1_000_000))


def test_items_before_a_mistake_are_yielded_and_it_is_named_with_its_place(tmp_path: Path) -> None:
    path = written(tmp_path, '[\n{"id": "a"},\n{"id": "b"},\n{"id" "c"}\n]\n')
    found = []
    with pytest.raises(UsageError, match=r"array\.json:4:7: not JSON: Expecting ':' delimiter"):
        for item in read_array_items(path):
            found.append(item.value["id"])
    assert found == ["a", "b"]


def test_random_arrays_come_back(tmp_path: Path) -> None:
    chance = random.Random(0)
    for _ in range(40):
        items = [
            {"id": "".join(chance.choice('ab"\\{}[],: \u00e9\u2028') for _ in range(chance.randrange(20)))}
            for _ in range(chance.randrange(2, 12))
        ]
        for layout in ("a line each", "one line", "indented", "commas at the front", "two in the last line"):
            assert values(written(tmp_path, laid_out(items, layout, ensure_ascii=False))) == items
