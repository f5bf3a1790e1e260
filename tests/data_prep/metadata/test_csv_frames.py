from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_prep.metadata import csv_frames
from data_prep.metadata.csv_frames import LINE, read_frames
from data_prep.metadata.csv_rows import read_rows
from data_prep.runtime import progress
from data_prep.runtime.command_line import UserError

ROOT = Path(__file__).parents[3]
ODD_CELLS = ["a b", '"x,y"', '"q""q"', '"two\nlines"', "\xe9", "\0", 'x"y', '"z"z', '"never closed', "y\ry"]


def by_frames(path, unwanted=None):
    """Returns the rows that are kept, those that are reported as bad, and how many were read."""
    bad, rows, count = [], [], 0
    frames = read_frames(
        path,
        required=("a", "b"),
        optional=("c",),
        key="b",
        keep=lambda cells: cells != unwanted if unwanted else cells.is_not_null(),
        on_bad_row=lambda *row: bad.append(row),
    )
    for number, frame in frames:
        count += number
        rows += [(line, tuple(cells)) for *cells, line in frame.select("a", "b", "c", LINE).iter_rows()]
    return rows, bad, count


def by_rows(path, unwanted=None):
    bad = []
    rows = list(read_rows(path, required=("a", "b"), optional=("c",), on_bad_row=lambda *row: bad.append(row)))
    return [row for row in rows if row[1][1] != unwanted or not unwanted], bad, len(rows)


def by_trial(data):
    """Returns what `by_rows` should: from each line on the csv module is asked for a row; if it is bad, the line is."""
    lines = io.StringIO(data.decode("utf-8", "replace").replace("\0", "\ufffd"), newline="").readlines()
    header = next(csv.reader(lines))
    rows, bad, at = [], [], 1
    while at < len(lines):
        reader = csv.reader(lines[at:], strict=True)
        try:
            row = next(reader)
        except csv.Error:
            row = ["bad"] * 99
        if row and len(row) != len(header):
            at += 1
            bad.append(at)
            continue
        at += reader.line_num
        if row:
            cells = [row[header.index(name)] if name in header else "" for name in "abc"]
            rows.append((at, tuple(cells)))
    return [row for row in rows if row[1][1] != "no"], bad, len(rows)


def test_blocks_of_any_size_give_what_the_csv_module_gives(tmp_path, monkeypatch):
    generator = random.Random(0)
    path = tmp_path / "a.csv"
    num_bad = 0
    for _ in range(300):
        width = generator.choice([2, 3, 4])
        odd = generator.random() < 0.7
        lines = [",".join(["b", "a", "d", "c"][:width])]
        for _ in range(generator.randrange(12)):
            cells = width if generator.random() < 0.9 else generator.randrange(6)
            lines.append(
                ",".join(
                    generator.choice(ODD_CELLS if odd and generator.random() < 0.2 else ["1", "", "no", "zz", "é"])
                    for _ in range(cells)
                )
            )
        content = generator.choice(["\n", "\r\n"]).join(lines) + "\n" * generator.randrange(3)
        data = b"".join(c.encode("latin1") if c == "\xe9" and odd else c.encode() for c in content)
        path.write_bytes(gzip.compress(data) if generator.random() < 0.2 else data)
        rows, bad, count = expected = by_rows(path, "no")
        assert (rows, [line for line, *_ in bad], count) == by_trial(data), data
        num_bad += len(bad)
        for size in (1, 30, 1 << 20):
            monkeypatch.setattr(csv_frames, "BLOCK_BYTES", size)
            assert unix(by_frames(path, "no")) == unix(expected), (size, data)
    assert num_bad > 300


def unix(outcome):
    """The readers differ in the ends of lines within quotes."""
    rows, *others = outcome
    return [(line, "|".join(cells).replace("\r\n", "\n").replace("\r", "\n")) for line, cells in rows], *others


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_a_quote_that_is_never_closed_costs_its_line_only(tmp_path, monkeypatch, size):
    monkeypatch.setattr(csv_frames, "BLOCK_BYTES", size)
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,"open\n2,x\n3,"y, z"\n4,"two\nlines"\n5,"open' + "\n6,x" * 1000)
    rows, bad, count = by_frames(path)
    assert [cells[0] for _, cells in rows] == ["2", "3", "4", *["6"] * 1000]
    assert rows[2] == (6, ("4", "two\nlines", ""))
    assert count == 1003
    hint = "; is a quote in this line never closed?"
    assert bad == [
        (2, "not CSV", f"',' expected after '\"'{hint}"),
        (7, "not CSV", f"a row of over 200 lines{hint}"),
    ]
    assert by_rows(path)[1] == bad


@pytest.mark.parametrize("read", [by_rows, by_frames])
def test_quotes_that_are_each_never_closed_take_no_more_than_a_moment(tmp_path, read):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n" + 'x","y\n' * 20_000)  # opens one both where one is open and where none is
    started = time.process_time()
    rows, bad, _ = read(path)
    assert (rows, len(bad)) == ([], 20_000)
    assert time.process_time() - started < 20


def test_the_cells_of_the_key_column_tell_which_rows_matter_quoted_or_not(tmp_path, monkeypatch):
    generator = random.Random(1)
    path = tmp_path / "a.csv"
    texts = ["", "a", "no", "seventeen letters", "eight ab", "eight abc", "é", '"a"', '"no"', '"x,y"', '"a""b"']
    listed = ["a", "no", "eight ab", "seventeen letters", "é", "x,y", "a\0"]
    kept = []
    for size in (16, 200, 1 << 20):
        monkeypatch.setattr(csv_frames, "BLOCK_BYTES", size)
        for number in range(4):
            rows = [[generator.choice(texts) for _ in range(3)] for _ in range(1 + 12 * number)]
            path.write_text("a,b,c\n" + "".join(",".join(row) + "\n" for row in rows), encoding="utf-8")
            for key, keeps_listed in itertools.product("ab", (True, False)):
                found = [
                    frame.rows()
                    for _, frame in read_frames(
                        path,
                        required=("a", "b", "c"),
                        key=key,
                        keep=lambda cells, keeps_listed=keeps_listed: cells.is_in(listed) == keeps_listed,
                        on_bad_row=print,
                    )
                ]
                expected = [
                    (*row, line)
                    for line, row in enumerate(csv.reader(map(",".join, rows)), start=2)
                    if (row["ab".index(key)] in listed) == keeps_listed
                ]
                assert list(itertools.chain(*found)) == expected
                kept.append(len(expected) / len(rows))
    assert 0 < sum(kept) < len(kept)


def test_only_rows_that_matter_come_with_their_lines_and_columns_of_no_interest_may_hold_anything(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfx, B ,A\n\xff,keep,1\nx,no,2\n\0,no,3\n,keep,4")
    assert by_frames(path, "no") == ([(2, ("1", "keep", "")), (5, ("4", "keep", ""))], [], 4)


def test_progress_is_told_by_block_of_as_many_as_there_are(tmp_path, monkeypatch, capsys):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n" + "1,2\n" * 1000)
    monkeypatch.setattr(csv_frames, "BLOCK_BYTES", 100)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)

    def read():
        frames = read_frames(path, required=("a",), key="a", keep=None, on_bad_row=print, description="reading")
        return sum(count for count, _ in frames)

    assert read() == 1000
    assert "reading: 40/40 blocks" in capsys.readouterr().err
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert read() == 1000
    assert "reading: 40 blocks" in capsys.readouterr().err


def test_rows_that_stand_before_a_bad_one_come_before_it(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n" + "1,2\n" * 100 + "bad\n" + "3,4\n" * 100)
    monkeypatch.setattr(csv_frames, "BLOCK_BYTES", 40)
    told = []
    frames = read_frames(path, required=("a",), key="a", keep=None, on_bad_row=lambda line, *_: told.append(line))
    seen = [(line, list(told)) for _, frame in frames for line in frame[LINE].to_list()]
    assert [line for line, _ in seen] == [*range(2, 102), *range(103, 203)]
    assert all(bad == [] for line, bad in seen if line < 80)  # those of its own block come with it
    assert all(bad == [102] for line, bad in seen if line > 102)


def test_a_gzip_cut_short_is_damaged(tmp_path):
    path = tmp_path / "a.csv.gz"
    content = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (i * i, i**3) for i in range(5000)))
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"a\.csv\.gz: damaged at line \d+"):
        by_frames(path)


@pytest.mark.parametrize("how", ["header", "row", "quoted row", "gzip"])
def test_200_megabytes_in_one_line_are_one_bad_row_in_bounded_memory(tmp_path, how):
    path = tmp_path / "a.csv"
    row = b"ImageID,OriginalURL\na,b\nc,"
    start = {"header": b"ImageID,", "quoted row": row + b'"b'}.get(how, row)
    with gzip.open(path, "wb", compresslevel=1) if how == "gzip" else path.open("wb") as file:
        file.write(start)
        for _ in range(200):
            file.write(b"x" * 2**20)
        file.write(b"\nb,u\n")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("ImageID,LabelName,XMin,XMax,YMin,YMax\na,sofa,0,1,0,1\nb,sofa,0,1,0,1\n")
    # The process measures itself before and after, so that what Python and Polars take is not counted.
    code = f"""if True:
        import resource, sys
        from data_prep.process_metadata import main
        from data_prep.runtime.command_line import UserError
        words = ["--annotations_input_path", {str(boxes)!r}, "--image_index_input_path", {str(boxes)!r} + ".none",
                 "--point_output_path", {str(tmp_path / "p.json")!r}, "--image_index_output_path", "{tmp_path}/i.json",
                 "--max_failures", "1"]
        for index in (None, {str(path)!r}):
            words[3] = index or words[3]
            try:
                print(main(words))
            except UserError as error:
                print(error)
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    none, before, *message, after = done.stdout.splitlines()
    assert "boxes.csv.none: No such file" in none
    if how == "header":
        assert message == [f"{path}:1: a line of over 1048576 characters; this is no CSV of ours"]
    else:
        assert message[-1] == "0"
        assert [image["id"] for image in json.loads((tmp_path / "i.json").read_text())] == ["a", "b"]
        entry = {"item": "a.csv:3", "reason": "line too long", "detail": "over 1048576 characters"}
        assert [json.loads(line) for line in (tmp_path / "p.rejected.jsonl").read_text().splitlines()] == [entry]
    assert int(after) - int(before) < 100 * 1024  # KiB
