"""Text files of numbers: every cell is looked at, and what is wrong is named with line, column and value."""

import csv
import io
import math
import re
from array import array
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from everygrad.data.raw import Problems, Raw
from everygrad.errors import FileFormatError, InputError, unknown_name
from everygrad.storage import read_limited

DELIMITERS = "\t;,"  # in the order of preference: a comma may also be a decimal comma
LOOKED_AT = 50  # lines from which the delimiter is guessed

Row = tuple[int, list[str]]  # the line of the file, counted from 1, and its cells


def read_csv(path: Path, target: str | int | None, header: bool | None, max_bytes: int) -> Raw:
    """The rows of a text file; see `everygrad.data.load` for what is accepted."""
    text = _decode(path, read_limited(path, max_bytes))
    rows = _rows(path, text, _delimiter(text))
    if not rows:
        raise FileFormatError(f"{path}: the file has no rows: one line per sample is expected")
    width = len(rows[0][1])
    if width < 2:
        raise FileFormatError(
            f"{path}: the first line has one cell, {rows[0][1][0][:40]!r}: at least one feature and the target are "
            f"expected, separated by comma, semicolon or tab"
        )
    named = _has_header(path, rows, target) if header is None else header
    names = _names(path, rows[0][1], named)
    body = rows[1:] if named else rows
    if not body:
        raise FileFormatError(f"{path}: the file has a header but no rows")
    column = _target_column(names, target)
    x, cells = _features(path, body, names, column)
    y = _targets(path, body, cells, names[column])
    features = tuple(name for i, name in enumerate(names) if i != column)
    return Raw(path.stem, path.name, x, y, features, names[column])


def _decode(path: Path, content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FileFormatError(f"{path}: the text is UTF-16, expected UTF-8: save the file as 'CSV UTF-8'")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileFormatError(
            f"{path}, line {line}: byte {content[error.start]:#04x} is not UTF-8: not a text file, or in another "
            f"encoding (save it as 'CSV UTF-8')"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise FileFormatError(f"{path}, line {line}: the file holds NUL characters: it is not a text file")
    return text


def _delimiter(text: str) -> str:
    """The one that splits all of the first lines into the same number of cells, most cells first."""
    lines = []
    for line in io.StringIO(text, newline=""):
        if line.strip():
            lines.append(line)
        if len(lines) == LOOKED_AT:
            break
    best, best_score = ",", (False, 1)
    for delimiter in DELIMITERS:
        try:
            widths = [len(cells) for cells in csv.reader(lines, delimiter=delimiter)]
        except csv.Error:
            continue
        score = (len(set(widths)) == 1 and widths[0] > 1, widths[0] if widths else 1)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _rows(path: Path, text: str, delimiter: str) -> list[Row]:
    """All rows with the lines on which they start; blank lines are left out. Raises if the widths differ."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    line = 1
    try:
        for cells in reader:
            if len(cells) > 1 or (cells and cells[0].strip()):
                rows.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise FileFormatError(f"{path}, line {line}: {error}: a quotation mark that does not fit?") from None
    problems = Problems(str(path))
    for number, cells in rows:
        if len(cells) != len(rows[0][1]):
            first, width = rows[0][0], len(rows[0][1])
            problems.add(f"line {number} has {len(cells)} cells, line {first} has {width}: {_shorten(cells)}")
    problems.raise_any()
    return rows


def _has_header(path: Path, rows: Sequence[Row], target: str | int | None) -> bool:
    """Whether the first row holds names: every cell but the target's is no number, or only the target's is none."""
    line, first = rows[0]
    if isinstance(target, str) and target in (cell.strip() for cell in first):
        return True
    at = target % len(first) if isinstance(target, int) and -len(first) <= target < len(first) else len(first) - 1
    numeric = [_number(cell) is not None for cell in first]
    features = numeric[:at] + numeric[at + 1 :]
    if all(features):  # a header of numbers, or data: the target's cell tells, if it alone is no number
        rest = [_number(cells[at]) is not None for _, cells in rows[1:]]
        return not numeric[at] and bool(rest) and all(rest)
    if not any(numeric):
        return True
    name, value = numeric.index(False), numeric.index(True)
    raise FileFormatError(
        f"{path}, line {line}: a header or a row of numbers? Column {name + 1} is {first[name]!r}, column {value + 1} "
        f"is {first[value]!r}. Correct the line, or say header=True or header=False"
    )


def _names(path: Path, first: Sequence[str], named: bool) -> list[str]:
    names = [cell.strip() if named else "" for cell in first]
    names = [name or f"column{i}" for i, name in enumerate(names, start=1)]
    twice = sorted({a for a, b in pairwise(sorted(names)) if a == b})
    if twice:
        raise FileFormatError(
            f"{path}: the header names {', '.join(map(repr, twice))} more than once: names must differ"
        )
    return names


def _target_column(names: Sequence[str], target: str | int | None) -> int:
    if target is None:
        return len(names) - 1
    if isinstance(target, str):
        if target not in names:
            raise unknown_name("target column", target, names)
        return names.index(target)
    if not -len(names) <= target < len(names):
        raise InputError(f"target={target} does not fit {len(names)} columns, counted from 0 (or from the end, -1)")
    return target % len(names)


def _features(path: Path, body: Sequence[Row], names: Sequence[str], column: int) -> tuple[np.ndarray, list[str]]:
    """The features as an array (rows, features), and the target's cells as text."""
    values, cells = array("d"), []
    problems = Problems(str(path))
    for line, row in body:
        cells.append(row[column].strip())
        for i, cell in enumerate(row):
            if i == column:
                continue
            number = _number(cell)
            if number is None or not math.isfinite(number):
                problems.add(_complaint(line, names[i], cell), nonfinite=number is not None)
                number = math.nan
            values.append(number)
    problems.raise_any()
    return np.array(values).reshape(len(body), len(names) - 1), cells


def _targets(path: Path, body: Sequence[Row], cells: Sequence[str], name: str) -> np.ndarray:
    """Whole numbers if all cells are, floats if all are numbers, else text.

    A column with a number that is not whole is one of numbers: text in it is a mistake, not a class.
    """
    numbers = [_number(cell) for cell in cells]
    problems = Problems(str(path))
    is_numeric = all(n is not None for n in numbers) or any(
        n is not None and math.isfinite(n) and n % 1 for n in numbers
    )
    for (line, _), cell, number in zip(body, cells, numbers, strict=True):
        nonfinite = number is not None and not math.isfinite(number)
        if nonfinite or not cell or (is_numeric and number is None):
            problems.add(_complaint(line, name, cell), nonfinite=nonfinite)
    problems.raise_any()
    if not is_numeric:
        return np.array(cells)
    if all(re.fullmatch(r"[+-]?\d{1,18}", cell) for cell in cells):
        return np.array([int(cell) for cell in cells], dtype=np.int64)
    return np.array(numbers, dtype=np.float64)


def _number(cell: str) -> float | None:
    """The number that the cell holds, NaN and infinity included, or None. Python's 1_000 is text here."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _complaint(line: int, column: str, cell: str) -> str:
    where = f"line {line}, column {column!r}"
    shown = cell.strip()
    if not shown:
        return f"{where}: the cell is empty: fill it in or leave the row out"
    number = _number(cell)
    if number is None:
        comma = " (a decimal comma? write a point)" if re.fullmatch(r"[+-]?\d*,\d+", shown) else ""
        return f"{where}: {shown[:40]!r} is not a number{comma}"
    what = "is too large for a float64" if re.search(r"\d", shown) else "is not finite"
    return f"{where}: {shown[:40]!r} {what}"


def _shorten(cells: Sequence[str]) -> str:
    text = ", ".join(cells)
    return repr(text if len(text) <= 60 else text[:57] + "...")
