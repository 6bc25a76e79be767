"""Who is told how far the work over chunks is."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

Told = Callable[[int, int | None], object]
"""Called with the number of chunks that are done, and how many there are, or None if nobody knows."""


@contextmanager
def told(progress: bool | Told) -> Generator[Told]:
    """A function of one's own, nobody, or with True rich's bar while the block runs, if stderr is a terminal."""
    bar = _bar() if progress is True else None
    if bar is None:
        yield progress if callable(progress) else lambda done, total: None
        return
    with bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _bar() -> Any:
    """rich's bar; None if stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        return None
    columns = (TextColumn("chunks"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, redirect_stdout=False)
