from __future__ import annotations

import gzip

import pytest

from data_prep.metadata.csv_rows import read_rows
from data_prep.runtime.command_line import UsageError, UserError


def read(path, required=("a", "b"), optional=("c",)):
    """Returns the rows that are yielded and those that are reported as bad."""
    bad = []
    rows = list(read_rows(path, required=required, optional=optional, on_bad_row=lambda *row: bad.append(row)))
    return rows, bad


def test_columns_are_found_by_name_in_any_order_and_letter_case(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbfx, B ,"A"\r\n1,2,3\r\n\r\n4,"5,""5""\n5",6\r\n')
    assert read(path) == ([(2, ("3", "2", "")), (5, ("6", '5,"5"\n5', ""))], [])
    path.write_bytes(b"c,a,b\n1,2,3")
    assert read(path) == ([(2, ("2", "3", "1"))], [])
    assert read(path, ("a",), ()) == ([(2, ("2",))], [])


def test_gzip_is_known_by_its_content(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert read(path) == ([(2, ("1", "2", ""))], [])


def test_bad_rows_are_reported_and_the_rest_is_read(tmp_path):
    path = tmp_path / "a.csv"
    huge = b"x" * 200_000
    path.write_bytes(b'a,b\n1,2\n1\n1,2,3\n"1"x,2\n' + huge + b",2\n\xff,\0\n3,4\n")
    rows, bad = read(path)
    assert rows == [(2, ("1", "2", "")), (7, ("\ufffd", "\ufffd", "")), (8, ("3", "4", ""))]
    assert [(line, reason) for line, reason, _ in bad] == [
        (3, "wrong number of cells"),
        (4, "wrong number of cells"),
        (5, "not CSV"),
        (6, "not CSV"),
    ]
    assert bad[1][2] == "3 cells, the header has 2"
    assert "field larger than field limit" in bad[3][2]


def test_a_row_whose_quote_is_never_closed_ends_with_its_line(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'a,b\n1,2\n3,"4\n5,6\n7,"8\n' + b"x" * 2**21 + b'\n9,"1\n0"\n')
    rows, bad = read(path)
    assert rows == [(2, ("1", "2", "")), (4, ("5", "6", "")), (8, ("9", "1\n0", ""))]
    hint = "; is a quote in this line never closed?"
    assert bad == [
        (3, "not CSV", f"',' expected after '\"'{hint}"),
        (5, "not CSV", f"over 1048576 characters{hint}"),
        (6, "line too long", "over 1048576 characters"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"a,x\n1,2\n", "no column b; the columns of its first line are: a, x"),
        (b"a;b;c\n", "no columns a, b; the columns of its first line are: a;b;c"),
        (b"\x1b[2J\n", "no columns a, b; the columns of its first line are: \\x1b[2J"),
        (b"a,b,A\n", "the column 'A' is there twice"),
        (b"a,b" + b",1" * 600_000, ":1: a line of over 1048576 characters"),
        (b'"' + b"a" * 200_000, ":1: not CSV: field larger than field limit"),
        ("a,b\n1,2\n".encode("utf-16"), "the text is UTF-16"),
    ],
)
def test_a_file_that_is_no_such_csv_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        read(path)
    assert str(refused.value).startswith(str(path))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_header_of_a_thousand_columns_does_not_fill_the_screen(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(",".join(f"column{number}" for number in range(1000)))
    with pytest.raises(UsageError, match=r"column29, \.\.\.$"):
        read(path)


def test_a_gzip_cut_short_is_damaged_and_not_merely_short(tmp_path):
    path = tmp_path / "a.csv.gz"
    content = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (i * i, i**3) for i in range(5000)))
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"a\.csv\.gz: damaged at line \d+"):
        read(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        read(tmp_path / "a.csv")
