"""Who is told how a training goes: a bar on a terminal, lines in a log, one's own function, or nobody."""

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, final

from everygrad.train.objective import Tally
from everygrad.train.records import Epoch

REFRESH = 0.1
"""Seconds between two looks of the bar."""
LINES = 10
"""About so many lines in a log, for any number of epochs; the first and the last epoch have one."""


class Reporter(ABC):
    """Told of each batch and each epoch while it is entered; works on stderr, if at all."""

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return

    def batch(self, epoch: int, tally: Tally) -> None:
        """A batch more of this epoch is in the tally."""
        return

    @abstractmethod
    def epoch(self, epoch: Epoch) -> None:
        """An epoch is complete."""


@final
class Calls(Reporter):
    """One's own function, called with each `Epoch`."""

    def __init__(self, function: Callable[[Epoch], object]) -> None:
        self.function = function

    def epoch(self, epoch: Epoch) -> None:
        self.function(epoch)


@final
class Lines(Reporter):
    """One line for some of the epochs, for a stderr that is no terminal."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.stride = max(1, epochs // LINES)

    def epoch(self, epoch: Epoch) -> None:
        if epoch.epoch == 1 or epoch.epoch % self.stride == 0 or epoch.epoch == self.epochs:
            print(epoch, file=sys.stderr, flush=True)


@final
class Bar(Reporter):
    """rich's progress bar with loss and accuracy; ``console`` is one of rich's."""

    def __init__(self, console: Any, epochs: int, done: int, batches: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[found]}"))
        self.progress = Progress(*columns, TimeRemainingColumn(), console=console, redirect_stdout=False)
        self.epochs, self.done, self.batches = epochs, done, batches
        self.looked = 0.0

    def __enter__(self) -> "Reporter":
        total = self.epochs * self.batches
        self.task = self.progress.add_task("", total=total, completed=self.done * self.batches, found="")
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.progress.stop()

    def batch(self, epoch: int, tally: Tally) -> None:
        now = time.monotonic()
        if now - self.looked >= REFRESH:
            self.looked = now
            self._show(epoch, tally.batches, tally.loss, tally.accuracy)

    def epoch(self, epoch: Epoch) -> None:
        held_out = epoch.validation_accuracy
        accuracy = epoch.accuracy if held_out is None else held_out
        self._show(epoch.epoch, self.batches, epoch.watched, accuracy, "" if epoch.validation_loss is None else "val ")

    def _show(self, epoch: int, batches: int, loss: float, accuracy: float | None, which: str = "") -> None:
        found = f"{which}loss {loss:.4f}" + ("" if accuracy is None else f"  accuracy {100 * accuracy:5.1f} %")
        completed = (epoch - 1) * self.batches + batches
        self.progress.update(self.task, description=f"epoch {epoch}/{self.epochs}", completed=completed, found=found)


def reporter(progress: bool | Callable[[Epoch], object], epochs: int, done: int, batches: int) -> Reporter | None:
    """Who is told: nobody (None), a function, or stderr in the way that suits it."""
    if progress is False:
        return None
    if progress is not True:
        return Calls(progress)
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal and not console.is_dumb_terminal:
        return Bar(console, epochs, done, batches)
    return Lines(epochs)
