"""Names, shapes and norms as a table, for a terminal and for a notebook."""

from collections.abc import Sequence
from html import escape

Row = tuple[str, str, str]


def cells(name: str, shape: Sequence[int], norm: float) -> Row:
    """One quantity."""
    return name, " x ".join(map(str, shape)) or "number", f"{norm:.4g}"


def as_text(title: str, rows: Sequence[Row]) -> str:
    """The title and the table; its first row is the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}".rstrip() for a, b, c in rows]
    return "\n".join([title, lines[0], "-" * len(lines[0]), *lines[1:]])


def as_html(title: str, rows: Sequence[Row]) -> str:
    """The same as HTML."""
    head, *body = rows
    columns = "".join(f"<th scope='col'>{escape(c)}</th>" for c in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in body)
    return f"<table><caption>{escape(title)}</caption><thead><tr>{columns}</tr></thead><tbody>{lines}</tbody></table>"
