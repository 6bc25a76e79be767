"""Progress on stderr: bars on a terminal that wants them, a few lines elsewhere."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from everygrad.cli.screen import styled, tell
from everygrad.train import Epoch

LINES = 10
"""About so many lines for any number of epochs."""


def epochs(total: int, quiet: bool) -> bool | Callable[[Epoch], None]:
    """What `everygrad.train.train` takes as ``progress``: its own bar on a terminal."""
    if quiet:
        return False
    if styled(sys.stderr):
        return True
    stride = max(1, total // LINES)

    def line(epoch: Epoch) -> None:
        if epoch.epoch in (1, total) or epoch.epoch % stride == 0:
            tell(str(epoch))

    return line


@contextmanager
def checking(quiet: bool) -> Generator[Callable[[str, int, int], None] | None]:
    """A function for ``progress`` of `everygrad.checks.check`; None if nothing is to be shown."""
    if quiet or not styled(sys.stderr):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("checking {task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("", total=None)

        def told(name: str, done: int, total: int) -> None:
            bar.update(task, description=name, completed=done, total=total)

        yield told
