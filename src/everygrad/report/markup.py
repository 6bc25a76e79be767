"""HTML and SVG from nested calls: whatever is not markup already is escaped, so nothing can be forgotten."""

from collections.abc import Sequence
from html import escape
from typing import final

from everygrad.report.words import clean

_VOID = {"br", "img", "meta"}
_SHAPES = {"circle", "image", "path", "rect"}
_IMPLIED = {"td", "th", "tr"}
"""Elements whose end the HTML standard allows to leave out (13.1.2.4): a table is a fifth shorter."""


@final
class Markup(str):
    """A string that is HTML already; any other string is text."""

    __slots__ = ()


def text(content: object) -> Markup:
    """Escaped text, without control characters; markup is returned as it is."""
    return content if isinstance(content, Markup) else Markup(escape(clean(content, 10_000), quote=True))


def join(*parts: object) -> Markup:
    """The parts one behind the other."""
    return Markup("".join(text(part) for part in parts if part is not None))


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """One element: ``tag("td", "a < b", class_="n")``; attributes that are None or False are left out.

    An underscore in an attribute's name is a hyphen, a trailing one is dropped: ``aria_label``, ``class_``.
    """
    inside = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text("" if value is True else value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{name}{inside}>")
    if name in _SHAPES and not children:
        return Markup(f"<{name}{inside}/>")
    return Markup(f"<{name}{inside}>{join(*children)}" + ("" if name in _IMPLIED else f"</{name}>"))


def table(
    caption: str, rows: Sequence[tuple[str, ...]], numbers: frozenset[int] = frozenset(), states: int | None = None
) -> Markup:
    """A table with caption, column heads and row heads; ``numbers`` are the columns to align on the right.

    Most are, so it is the others' cells that say so: the file is shorter.
    ``states`` is a column of words like "ok" or "dead", which get their colour from their first word.
    It stands in a region of its own that scrolls when the table is wider than the screen; the button below it
    belongs to the page's script.
    """
    head, *body = rows
    heads = [
        tag("th", cell, scope="col", class_=_words(i, numbers)) if cell else tag("td") for i, cell in enumerate(head)
    ]
    lines = [tag("tr", *(_cell(i, cell, numbers, states) for i, cell in enumerate(row))) for row in body]
    inner = tag("table", tag("caption", caption), tag("thead", tag("tr", *heads)), tag("tbody", *lines))
    region = tag("div", inner, class_="wide", tabindex="0", role="group", aria_label=caption)
    return tag("div", region, tag("button", "Copy as CSV", class_="csv live"), class_="tabled")


def _cell(column: int, content: str, numbers: frozenset[int], states: int | None) -> Markup:
    if column == 0:
        return tag("th", content, scope="row")
    if column == states:
        word = content.split(":")[0]
        known = word if word in ("ok", "wrong", "dead", "saturated") else "plain"
        return tag("td", tag("span", content, class_=f"state {known}"), class_="w")
    return tag("td", content, class_=_words(column, numbers))


def _words(column: int, numbers: frozenset[int]) -> str | None:
    return None if column in numbers or column == 0 else "w"


def details(summary: str, *children: object, **attributes: object) -> Markup:
    """What opens on request."""
    return tag("details", tag("summary", summary), *children, **attributes)


def picture(
    title: str, description: str, width: float, height: float, *children: object, key: str, **attributes: object
) -> Markup:
    """An inline SVG with a title and a description for those who do not see it."""
    return tag(
        "svg",
        tag("title", title, id=f"{key}-t"),
        tag("desc", description, id=f"{key}-d"),
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_labelledby=f"{key}-t {key}-d",
        style=f"--w:{width:g}px",
        **attributes,
    )
