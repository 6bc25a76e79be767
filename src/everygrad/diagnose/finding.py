"""The record of one thing found, and how grave it is."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, final

Level = Literal["ok", "warning", "error"]

GRAVITY: tuple[Level, ...] = ("ok", "warning", "error")


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or worth a note.

    ``where`` is the culprit: the first quantity, going backwards from the loss, at which it shows.
    ``number`` is what was measured, ``threshold`` what it was compared with. A finding of level
    ``"ok"`` is a note and does not change the verdict. ``layer`` and ``step`` (counted from 0) say where in a
    recurrent network it is; "" and None elsewhere.
    """

    kind: str
    level: Level
    where: str
    text: str
    number: float
    threshold: float
    advice: str
    layer: str = ""
    step: int | None = None


def worst(levels: Iterable[Level]) -> Level:
    """The gravest of several levels; ``"ok"`` if there is none."""
    return max(levels, key=GRAVITY.index, default="ok")


def milder(level: Level) -> Level:
    """One level down."""
    return GRAVITY[max(GRAVITY.index(level) - 1, 0)]
