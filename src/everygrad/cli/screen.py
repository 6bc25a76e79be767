"""What is printed: results on stdout, the rest on stderr; escape sequences only on a terminal that wants them."""

import io
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import numpy as np

from everygrad.cli.exits import BAD_FILE, Failure

WIDE = 100_000
"""Columns of what is no terminal: nothing is wrapped."""

STYLES = {"ok": "green", "right": "green", "WRONG": "bold red", "wrong": "bold red"}
"""The first word of a cell -> its colour."""


def styled(stream: TextIO | None) -> bool:
    """Whether this stream may get escape sequences: a terminal, and neither NO_COLOR nor TERM=dumb."""
    if stream is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def say(text: str = "", style: str = "") -> None:
    """One line, or several, of the result."""
    _write(sys.stdout, _dressed(text, style, sys.stdout))


def tell(text: str, style: str = "") -> None:
    """A line about how it goes, on stderr."""
    _write(sys.stderr, _dressed(text, style, sys.stderr))


def say_table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """A table whose first row is its head; the columns in ``right`` are flush right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for i, name in enumerate(rows[0]):
        shown.add_column(Text(_clean(name)), justify="right" if i in right else "left", overflow="fold")
    for row in rows[1:]:
        shown.add_row(*(Text(_clean(cell), STYLES.get(cell.partition(":")[0], "")) for cell in row))
    _write(sys.stdout, _rendered(shown, styled(sys.stdout)))


def say_json(command: str, content: Mapping[str, Any]) -> None:
    """The result as one JSON document, with the name and the version of its schema."""
    document = {"schema": f"everygrad-{command}", "version": 1, **content}
    _write(sys.stdout, json.dumps(plain(document), indent=1, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """As JSON holds it: NaN and infinities as ``"NaN"``, ``"Infinity"``, ``"-Infinity"``."""
    from everygrad.report.json_ import special

    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return special(float(value))
    return int(value) if isinstance(value, np.integer) else value


def say_raw(text: str) -> None:
    """Text that is complete in itself, as it is."""
    _write(sys.stdout, text)


def _dressed(text: str, style: str, stream: TextIO | None) -> str:
    if not style or not styled(stream):
        return _clean(text) + "\n"
    from rich.text import Text

    return _rendered(Text(_clean(text), style), True, soft_wrap=True)


def _rendered(what: Any, on: bool, soft_wrap: bool = False) -> str:
    from rich.console import Console

    console = Console(
        file=io.StringIO(),
        force_terminal=on,
        force_jupyter=False,
        color_system="standard" if on else None,
        width=shutil.get_terminal_size().columns if on else WIDE,
        legacy_windows=False,
    )
    console.print(what, soft_wrap=soft_wrap)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _clean(text: str) -> str:
    """Without control characters, which a file's own names could hold."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _write(stream: TextIO | None, text: str) -> None:
    """To a reader that has gone (``| head``) nothing is written, and the work goes on."""
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _discard(stream)
    except OSError as error:
        _discard(stream)
        raise Failure(f"the output cannot be written: {error.strerror or error}", BAD_FILE) from None


def _discard(stream: TextIO) -> None:
    """What is still in the stream's buffer, and all that follows, goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
