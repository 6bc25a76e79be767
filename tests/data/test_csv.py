"""Text files: what is read, against plain lists, and what is refused, with its place."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everygrad.checks.tolerance import assert_close
from everygrad.data import load
from everygrad.errors import EverygradError, FileFormatError, InputError, NonFiniteError, UnknownNameError

ROWS = [
    [5.1, 3.5, "a"],
    [4.9, 3.0, "b"],
    [4.7, 3.2, "a"],
    [4.6, 3.1, "b"],
    [5.0, 3.6, "a"],
    [5.4, 3.9, "b"],
]


def table(rows, separator=",", header=("length", "width", "kind"), end="\n") -> str:
    lines = [separator.join(map(str, row)) for row in ([header, *rows] if header else rows)]
    return end.join(lines) + end


@pytest.fixture
def write(tmp_path):
    def writing(content, name="flowers.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return writing


def raw_rows(d) -> list[list]:
    """The rows of both parts in the units of the file, sorted, the class by its name."""
    x = d.scaling.undo(np.concatenate([d.x_train, d.x_test]))
    if d.target_scaling is None:
        y = [d.classes[i] for i in np.concatenate([d.y_train, d.y_test])]
    else:
        y = d.target_scaling.undo(np.concatenate([d.y_train, d.y_test]))[:, 0].round(9).tolist()
    return sorted([*row.round(9).tolist(), label] for row, label in zip(x, y, strict=True))


FORMS = {
    "comma": table(ROWS),
    "semicolon": table(ROWS, ";"),
    "tab": table(ROWS, "\t"),
    "CRLF": table(ROWS, end="\r\n"),
    "CR": table(ROWS, end="\r"),
    "BOM": "\ufeff" + table(ROWS),
    "blank lines": "\n" + table(ROWS).replace("\n", "\n\n  \n"),
    "no newline at the end": table(ROWS).rstrip(),
    "spaces": table(ROWS).replace(",", " , "),
    "quotes": table([[f'"{v}"' for v in row] for row in ROWS], header=('"length"', '"width"', '"kind"')),
    "quoted separator": table(ROWS, header=('"length"', '"width"', '"kind"')),
}


@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS)
def test_forms_of_the_same_table(write, content):
    d = load(write(content), test_fraction=0.34)
    assert (d.name, d.task, d.source, d.target) == ("flowers", "binary", "flowers.csv", "kind")
    assert (d.features, d.classes) == (("length", "width"), ("a", "b"))
    assert raw_rows(d) == sorted(ROWS)
    assert np.bincount(d.y_test).tolist() == [1, 1]


def test_quoted_cells_may_hold_anything(write):
    rows = [[1.5, 'say "x"'], [2.5, "a, b"], [3.5, "two\nlines"], [4.5, 'say "x"'], [5.5, "a, b"], [6.5, "two\nlines"]]
    path = write("")
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["v", "what; else"], *rows])
    d = load(path, test_fraction=0)
    assert d.target == "what; else"
    assert raw_rows(d) == rows


def test_without_a_header(write):
    d = load(write(table(ROWS, header=None)), test_fraction=0)
    assert d.features == ("column1", "column2")
    assert d.target == "column3"
    assert raw_rows(d) == sorted(ROWS)
    by_name = load(write(table(ROWS, header=None)), test_fraction=0, target="column3")
    assert raw_rows(by_name) == sorted(ROWS)


def test_a_header_of_numbers(write):
    """Years as names: a header, since its last cell is text above a column of numbers; else header= says it."""
    rows = [[1.0, 2.0, 3.5], [2.0, 1.0, 4.5], [0.0, 1.0, 5.5]]
    d = load(write(table(rows, header=(1990, 1991, "price"))), test_fraction=0)
    assert (d.features, d.rows, d.task) == (("1990", "1991"), 3, "regression")
    numbers = write(table(rows, header=(1990, 1991, 1992)))
    assert load(numbers, test_fraction=0).rows == 4
    assert load(numbers, test_fraction=0, header=True).features == ("1990", "1991")
    mixed = write(table(rows, header=("id", 1991, "price")))
    with pytest.raises(FileFormatError, match=r"line 1: a header or .*Column 1 is 'id', column 2 is '1991'"):
        load(mixed)
    assert load(mixed, test_fraction=0, header=True).features == ("id", "1991")
    assert load(mixed, test_fraction=0, target="price").features == ("id", "1991")


@pytest.mark.parametrize("target", ["length", 0, -3])
def test_any_column_may_be_the_target(write, target):
    rows = [[3.5, 1.0, 2.0], [4.5, 2.0, 0.0], [6.0, 3.0, 1.0]]
    d = load(write(table(rows)), target=target, test_fraction=0)
    assert (d.task, d.target, d.features) == ("regression", "length", ("width", "kind"))
    assert raw_rows(d) == sorted([b, c, a] for a, b, c in rows)


def labels_file(write, labels):
    return write(table([[i, label] for i, label in enumerate(labels)], header=("i", "label")))


TASKS = {
    "few whole numbers": ([7, 3, -1] * 4, "classification", ("-1", "3", "7")),
    "two whole numbers": ([1, 2] * 3, "binary", ("1", "2")),
    "as floats": ([1.0, 2.0] * 3, "regression", ()),
    "as floats in part": (["1", "2.0"] * 3, "regression", ()),
    "20 numbers": (list(range(20)) * 2, "classification", tuple(map(str, range(20)))),
    "21 numbers": (list(range(21)) * 2, "regression", ()),
    "each once": ([1, 2, 3, 4], "regression", ()),
    "exponent": (["1e0", "2e0"] * 3, "regression", ()),
    "text": (["no", "yes"] * 3, "binary", ("no", "yes")),
    "text and whole numbers": (["1", "2", "other"] * 3, "classification", ("1", "2", "other")),
    "30 texts": ([f"t{i:02}" for i in range(30)] * 2, "classification", tuple(f"t{i:02}" for i in range(30))),
    "unicode": (["é", "日本"] * 3, "binary", ("é", "日本")),
    "underscore": (["1_0", "2_0"] * 3, "binary", ("1_0", "2_0")),
    "long numbers": ([str(10**30), str(10**31)] * 3, "regression", ()),
}


@pytest.mark.parametrize(("labels", "task", "classes"), TASKS.values(), ids=TASKS)
def test_the_rule_for_the_task(write, labels, task, classes):
    d = load(labels_file(write, labels), test_fraction=0)
    assert (d.task, d.classes) == (task, classes)
    if classes:
        assert [row[1] for row in raw_rows(d)] == [str(v) for v in labels]


def test_the_task_may_be_given(write):
    counts = labels_file(write, [0, 1, 2] * 4)
    assert load(counts, task="regression", test_fraction=0).y_train.shape == (12, 1)
    floats = labels_file(write, ["1.0", "2.0"] * 3)
    assert load(floats, task="classification", test_fraction=0).classes == ("1", "2")
    many = labels_file(write, list(range(30)) * 2)
    assert load(many, task="classification", test_fraction=0).classes == tuple(map(str, range(30)))
    with pytest.raises(InputError, match=r"holds 1\.5: class labels are whole numbers or text"):
        load(labels_file(write, [1.5, 2.5] * 3), task="classification")
    with pytest.raises(InputError, match="holds text such as 'no': a regression needs numbers"):
        load(labels_file(write, ["no", "yes"] * 3), task="regression")


BAD = {
    "text": ("a,b,y\n1,2,0\n3,x,1\n", FileFormatError, r"line 3, column 'b': 'x' is not a number"),
    "decimal comma": ("a;b;y\n1,5;2;0\n3,5;4;1\n", FileFormatError, r"line 2, column 'a': '1,5' .*decimal comma"),
    "empty cell": ("a,b,y\n1,2,0\n3,,1\n", FileFormatError, r"line 3, column 'b': the cell is empty"),
    "blank cell": ("a,b,y\n1,2,0\n3,  ,1\n", FileFormatError, r"line 3, column 'b': the cell is empty"),
    "empty target": ("a,b,y\n1,2,0\n3,4,\n", FileFormatError, r"line 3, column 'y': the cell is empty"),
    "empty text target": ("a,b,y\n1,2,u\n3,4,\n", FileFormatError, r"line 3, column 'y': the cell is empty"),
    "text in numbers": ("a,y\n1,2.5\n3,oops\n4,3\n", FileFormatError, r"line 3, column 'y': 'oops' is not a number"),
    "nan": ("a,b,y\n1,2,0\nnan,4,1\n", NonFiniteError, r"line 3, column 'a': 'nan' is not finite"),
    "inf": ("a,b,y\n1,-Infinity,0\n3,4,1\n", NonFiniteError, r"line 2, column 'b': '-Infinity' is not finite"),
    "1e400": ("a,b,y\n1,2,0\n3,1e400,1\n", NonFiniteError, r"line 3, column 'b': '1e400' is too large for a float64"),
    "nan target": ("a,y\n1,2.5\n3,nan\n", NonFiniteError, r"line 3, column 'y': 'nan' is not finite"),
    "nan label": ("a,y\n1,cat\n3,nan\n", NonFiniteError, r"line 3, column 'y': 'nan' is not finite"),
    "nan and text": (
        "a,b,y\n1,2,0\nnan,x,1\n",
        FileFormatError,
        r"2 problems\n.*'nan' is not.*\n.*'x' is not a number",
    ),
    "underscore": ("a,b,y\n1,2,0\n3,1_000,1\n", FileFormatError, r"column 'b': '1_000' is not a number"),
    "short row": ("a,b,y\n1,2,0\n3,1\n", FileFormatError, r"line 3 has 2 cells, line 1 has 3: '3, 1'"),
    "long row": ("a,b,y\n1,2,0\n3,1,1,\n", FileFormatError, r"line 3 has 4 cells, line 1 has 3"),
    "after two lines": ('a,y\n"1\n",0\nx,1\n', FileFormatError, r"line 4, column 'a': 'x'"),
    "one column": ("y\n1\n2\n", FileFormatError, r"the first line has one cell, 'y'"),
    "spaces between": ("1 2 3\n4 5 6\n", FileFormatError, r"one cell, '1 2 3'.*comma, semicolon or tab"),
    "empty": ("", FileFormatError, r"is empty"),
    "only blank": ("\n \n\n", FileFormatError, r"has no rows"),
    "only BOM": ("\ufeff", FileFormatError, r"has no rows"),
    "only a header": ("a,b,y\n", FileFormatError, r"a header but no rows"),
    "one class": ("a,y\n1,u\n2,u\n3,u\n", InputError, r"'y' has one class only, 'u'"),
    "one value": ("a,y\n1,5\n2,5\n3,5\n", InputError, r"'y' has one value only, 5"),
    "one float": ("a,y\n1,5.0\n2,5.0\n", InputError, r"'y' has one value only, 5.0"),
    "texts all different": (
        "a,y\n1,u\n2,v\n3,w\n",
        InputError,
        r"3 distinct texts in 3 rows, which are hardly classes",
    ),
    "names twice": ("a,a,y\n1,2,0\n3,4,1\n", FileFormatError, r"names 'a' more than once"),
    "open quote": ('a,b,y\n1,2,0\n3,"4,1\n', FileFormatError, r"line 3: unexpected end of data"),
    "quote": ('a,b,y\n1,"2"x,0\n', FileFormatError, r"line 2: .*quotation mark"),
    "NUL": ("a,y\n1,0\n2,\0\n", FileFormatError, r"line 3: .*NUL"),
    "latin-1": ("a,y\n1,é\n".encode("latin-1"), FileFormatError, r"line 2: byte 0xe9 is not UTF-8"),
    "UTF-16": ("a,y\n1,0\n".encode("utf-16"), FileFormatError, r"UTF-16, expected UTF-8"),
    "zip": (b"PK\x03\x04\xff\xfe" + bytes(50), FileFormatError, r"byte 0xff is not UTF-8"),
    "too small": ("a,y\n1,u\n2,v\n3,u\n4,v\n", InputError, r"4 rows cannot be split"),
    "wide": ("a,y\n-1e308,0\n1e308,1\n1e308,0\n1e308,1\n", InputError, r"'a' spans too large a range"),
}


@pytest.mark.parametrize(("content", "error", "message"), BAD.values(), ids=BAD)
def test_what_is_refused(write, content, error, message):
    fraction = 0.9 if "cannot be split" in message else 0.2
    with pytest.raises(error, match=message) as caught:
        load(write(content), test_fraction=fraction)
    assert type(caught.value) is error


def test_problems_are_counted_and_some_listed(write):
    rows = [[1, "x", 0]] * 30
    with pytest.raises(FileFormatError) as caught:
        load(write(table(rows)), header=True)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("30 problems")
    assert lines[1] == "  - line 2, column 'width': 'x' is not a number"
    assert lines[-1] == "  - ... and 20 more"
    assert len(lines) == 12


def test_a_row_is_never_taken_for_a_header_silently(write):
    """A mistake in the first row of a file without a header."""
    with pytest.raises(FileFormatError, match=r"line 1: a header or a row of numbers"):
        load(write("1,x,0\n2,3,1\n4,5,0\n"))


def test_the_target_must_be_there(write):
    path = write(table(ROWS))
    with pytest.raises(UnknownNameError, match=r"unknown target column 'kin'. Did you mean 'kind'"):
        load(path, target="kin")
    with pytest.raises(InputError, match=r"target=3 does not fit 3 columns"):
        load(path, target=3)


def test_the_limit_of_bytes(write):
    path = write(table(ROWS))
    size = path.stat().st_size
    assert load(path, max_bytes=size).rows == 6
    with pytest.raises(FileFormatError, match=f"has {size} bytes, the limit is {size - 1}"):
        load(path, max_bytes=size - 1)


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(FileFormatError, match="no such file"):
        load(tmp_path / "missing.csv")


def test_float32(write):
    d = load(write(table(ROWS)), dtype=np.float32, test_fraction=0)
    wide = load(write(table(ROWS)), test_fraction=0)
    assert d.x_train.dtype == np.float32
    assert_close(d.x_train, wide.x_train)


numbers = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e100, max_value=1e100)


@given(rows=st.lists(st.tuples(numbers, numbers, numbers), min_size=2, max_size=6), separator=st.sampled_from(",;\t"))
def test_every_float_is_read_exactly(tmp_path_factory, rows, separator):
    from everygrad.data.csvfile import read_csv

    path = tmp_path_factory.getbasetemp() / "floats.csv"
    path.write_text(table(rows, separator, ("a", "b", "y")))
    raw = read_csv(path, None, None, 10**6)
    assert raw.x.tolist() == [list(row[:2]) for row in rows]
    assert raw.y.tolist() == [row[2] for row in rows]


@given(content=st.text(alphabet='01.5eax_-+,;\t\n\r" \0é', max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content.encode())
    try:
        d = load(path)
    except EverygradError:
        return
    assert np.isfinite(d.x_train).all()
    assert len(d.x_train) == len(d.y_train) > 0
