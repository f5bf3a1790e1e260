from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from data_prep.formats import json_array
from data_prep.formats.json_array import raw_array_writer, read_array_items
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


@pytest.mark.parametrize("chunk_bytes", [1, 2, 7, 64, 4096])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_items_come_whole_wherever_a_chunk_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int, indent: int | None, ensure_ascii: bool
) -> None:
    monkeypatch.setattr(json_array, "CHUNK_BYTES", chunk_bytes)
    path = written(tmp_path, " \n" + json.dumps(ITEMS, indent=indent, ensure_ascii=ensure_ascii) + "\n\n")
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
    with raw_array_writer(copy) as write:
        for item in read_array_items(path):
            write(item.text)
    assert json.loads(copy.read_bytes()) == ITEMS
    assert len(copy.read_text().splitlines()) == len(ITEMS) + 2


@pytest.mark.parametrize("text", ["[]", " [ \n ] ", "\ufeff[]"])
def test_an_empty_array_has_no_items(tmp_path: Path, text: str) -> None:
    assert values(written(tmp_path, text)) == []


def test_an_empty_array_is_written_as_one(tmp_path: Path) -> None:
    with raw_array_writer(tmp_path / "none.json"):
        pass
    assert json.loads((tmp_path / "none.json").read_bytes()) == []


def test_nothing_is_written_where_writing_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), raw_array_writer(tmp_path / "none.json") as write:
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


def test_an_item_without_an_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "CHUNK_BYTES", 1024)
    monkeypatch.setattr(json_array, "MAX_ITEM_BYTES", 16 * 1024)
    with pytest.raises(UsageError, match="an item of over"):
        values(written(tmp_path, '[{"id": "' + "a" * 1_000_000))


def test_random_arrays_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(0)
    for _ in range(40):
        monkeypatch.setattr(json_array, "CHUNK_BYTES", chance.choice([3, 17, 100]))
        items = [
            {"id": "".join(chance.choice('ab"\\{}[],: \u00e9\u2028') for _ in range(chance.randrange(20)))}
            for _ in range(chance.randrange(12))
        ]
        indent = chance.choice([None, 1])
        assert values(written(tmp_path, json.dumps(items, indent=indent, ensure_ascii=False))) == items
