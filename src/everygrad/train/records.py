"""The records of a training: one for each epoch, one for the whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from everygrad.engines import Array

SHOWN = 12
"""Lines of the printed history: of a longer one, evenly spaced epochs, the best and the last."""


@final
@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training data.

    ``loss`` and ``accuracy`` are means over the samples, or over the steps that count if the loss has a term
    for each step (with weights: weighted means), each seen with the parameters that its batch found, so
    they cost nothing extra. ``accuracy`` is None for a regression. ``validation_*`` are exact means with
    the parameters after the epoch, None without validation data. ``gradient_norms``: parameter -> root of
    the mean over the epoch's batches of ‖∇‖², the Frobenius norm of the batch gradient.
    """

    epoch: int
    loss: float
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    gradient_norms: Mapping[str, float]
    seconds: float

    @property
    def watched(self) -> float:
        """What the best parameters are best in: the validation loss if there is one, else the loss."""
        return self.loss if self.validation_loss is None else self.validation_loss

    def as_row(self) -> dict[str, Any]:
        """The same as a dict of numbers that JSON can hold; what is not there is left out."""
        named = {name: getattr(self, name) for name in ("epoch", "loss", "accuracy")}
        named |= {name: getattr(self, name) for name in ("validation_loss", "validation_accuracy")}
        named |= {"gradient_norms": dict(self.gradient_norms), "seconds": self.seconds}
        return {name: value for name, value in named.items() if value is not None}

    def __str__(self) -> str:
        parts = [f"loss {self.loss:.4g}", *_percent("accuracy", self.accuracy)]
        if self.validation_loss is not None:
            parts += [f"validation loss {self.validation_loss:.4g}"]
            parts += _percent("validation accuracy", self.validation_accuracy)
        return f"epoch {self.epoch}: {', '.join(parts)}"


@final
@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What a training found: ``params`` are the best, those of ``best_epoch``; ``last`` the newest.

    The best epoch has the lowest validation loss, or the lowest loss if there were no validation data;
    of equals, the first. ``interrupted``: Ctrl-C or an error cut it short, ``last`` then being those of the
    last batch. In the first epoch there is no best one yet: ``best_epoch`` is 0, and ``params`` are those so
    far after Ctrl-C, those of the start after an error.
    """

    params: dict[str, Array]
    last: dict[str, Array]
    history: tuple[Epoch, ...]
    best_epoch: int
    interrupted: bool

    def as_rows(self) -> list[dict[str, Any]]:
        """The history as rows that JSON can hold, and `everygrad.report` reads."""
        return [epoch.as_row() for epoch in self.history]

    def __str__(self) -> str:
        count = len(self.history)
        head = f"{count} epoch{'' if count == 1 else 's'}{', interrupted' if self.interrupted else ''}"
        if not self.history:
            return f"{head}: the parameters so far"
        stride = -(-count // SHOWN)
        marks = {self.best_epoch: "  <- best"}
        shown = [e for e in self.history if (e.epoch - 1) % stride == 0 or e.epoch in (self.best_epoch, count)]
        return "\n".join([head, *(f"{epoch}{marks.get(epoch.epoch, '')}" for epoch in shown)])

    def __repr__(self) -> str:
        what = ", interrupted" if self.interrupted else ""
        return f"Training({len(self.history)} epochs, best {self.best_epoch}{what}; {', '.join(self.params)})"


def _percent(name: str, share: float | None) -> list[str]:
    return [] if share is None else [f"{name} {100 * share:.1f} %"]
