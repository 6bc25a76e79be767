"""Lines over epochs or steps, with their names and numbers written on them.

The numbers stand in the picture's data attributes too, from which the page's script reads out those at one step:
``data-x`` (``0:63`` for 0, 1, ... 63) and, for each line, ``data-y``; ``data-frame`` is where the lines lie: left,
right, top, bottom, first x and last x.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

from everygrad.report.markup import Markup, picture, tag
from everygrad.report.words import clean, number

WIDTH, HEIGHT = 480.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 96.0, 14.0, 34.0
GAP = 14.0
"""Between two labels at the ends of their lines."""


@final
@dataclass(frozen=True, slots=True)
class Line:
    """One series: its label, its points in order, and the number of its colour."""

    label: str
    points: tuple[tuple[float, float], ...]
    colour: int


@final
@dataclass(frozen=True, slots=True)
class Axes:
    """What the axes mean: ``across`` is the name of x, ``up`` how y is drawn, ``span`` what y shows at least.

    ``"powers"`` is a logarithmic axis whose numbers are given as their logarithms to base 10, for what is too small or
    too large for a number. ``limit`` is a number of y that is marked, ``mark`` a place of x and what it is called.
    """

    up: Literal["linear", "logarithmic", "powers"]
    across: str = "epoch"
    span: tuple[float, float] | None = None
    limit: float | None = None
    mark: tuple[float, str] | None = None

    def height(self, y: float) -> float:
        """The number by which y is placed."""
        return math.log10(y) if self.up == "logarithmic" else y

    def fits(self, y: float) -> bool:
        """Whether the number has a place."""
        return math.isfinite(y) and (y > 0 or self.up != "logarithmic")

    def ticks(self, low: float, high: float) -> list[float]:
        """Round numbers around those that are shown."""
        if self.up == "logarithmic":
            return decades(low, high)
        if self.up == "powers":
            return _round(math.floor(low), math.ceil(high), 1.0)
        return _round(low, high)

    def word(self, tick: float) -> str:
        """A number of the axis as it is written."""
        return f"1e{tick:g}" if self.up == "powers" else number(tick)


def plot(title: str, lines: Sequence[Line], axes: Axes, key: str) -> Markup:
    """Lines, named at their right ends; numbers that have no place on the axis leave a gap."""
    drawn = [Line(line.label, tuple(p for p in line.points if axes.fits(p[1])), line.colour) for line in lines]
    whole = [line for line, shown in zip(lines, drawn, strict=True) if shown.points]
    drawn = [line for line in drawn if line.points]
    if not drawn:
        return tag("p", f"{title}: no number that could be drawn.", class_="soft")
    xs = [x for line in drawn for x, _ in line.points]
    ys = [y for line in drawn for _, y in line.points] + list(axes.span or ())
    steps = sorted({x for line in whole for x, _ in line.points if min(xs) <= x <= max(xs)})
    ticks = axes.ticks(min(ys), max(ys))
    low, high = (axes.height(y) for y in (min(ticks[0], min(ys)), max(ticks[-1], max(ys))))

    def across(x: float) -> float:
        span = max(xs) - min(xs)
        return LEFT + (WIDTH - LEFT - RIGHT) * ((x - min(xs)) / span if span else 0.5)

    def up(y: float) -> float:
        return (
            HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * ((axes.height(y) - low) / (high - low) if high > low else 0.5)
        )

    grid = "".join(f"M{LEFT:g} {up(tick):.1f}H{WIDTH - RIGHT:g}" for tick in ticks)
    parts = [tag("path", class_="grid", d=grid)]
    for tick in ticks:
        y = f"{up(tick):.1f}"
        parts.append(tag("text", axes.word(tick), x=f"{LEFT - 7:g}", y=y, dy="4", class_="tick end"))
    if axes.limit is not None and low <= axes.height(axes.limit) <= high:
        parts.append(tag("path", class_="limit", d=f"M{LEFT:g} {up(axes.limit):.1f}H{WIDTH - RIGHT:g}"))
    marked = axes.mark if axes.mark is not None and min(xs) <= axes.mark[0] <= max(xs) else None
    if marked is not None:
        x = f"{across(marked[0]):.1f}"
        parts.append(tag("path", class_="limit", d=f"M{x} {TOP:g}V{HEIGHT - BOTTOM:g}"))
        parts.append(tag("text", marked[1], x=x, y=f"{TOP - 3:g}", class_="tick"))
    for x in _whole(int(min(xs)), int(max(xs))):
        parts.append(tag("text", str(x), x=f"{across(x):.1f}", y=f"{HEIGHT - 14:g}", class_="tick"))
    parts.append(tag("text", axes.across, x=f"{WIDTH - RIGHT + 20:g}", y=f"{HEIGHT - 14:g}", class_="tick start"))
    for line, given in zip(drawn, whole, strict=True):
        places = [(round(across(x), 1), round(up(y), 1)) for x, y in line.points]
        if len(places) == 1:
            parts.append(tag("circle", cx=places[0][0], cy=places[0][1], r="3", class_=f"dot t{line.colour}"))
        numbers = {"data_label": clean(line.label, 40), "data_y": _values(axes, given, steps)}
        parts.append(tag("path", class_=f"line c{line.colour}", d=_path(places), **numbers))
    for line, y in _spread([(line, up(line.points[-1][1])) for line in drawn]):
        parts.append(
            tag(
                "text",
                clean(line.label, 14),
                x=f"{WIDTH - RIGHT + 8:g}",
                y=f"{y:.1f}",
                dy="4",
                class_=f"end-label t{line.colour}",
            )
        )
    said = "; ".join(
        f"{clean(line.label)} from {_told(axes, line.points[0][1])} to {_told(axes, line.points[-1][1])}"
        for line in drawn
    )
    said += f"; {marked[1]} at {number(marked[0], 3)}" if marked is not None else ""
    scale = "linear scale" if axes.up == "linear" else "logarithmic scale"
    where = f"Over {axes.across}s {min(xs):g} to {max(xs):g}"
    frame = f"{LEFT:g} {WIDTH - RIGHT:g} {TOP:g} {HEIGHT - BOTTOM:g} {min(xs):g} {max(xs):g}"
    read = {"data_x": _steps(steps), "data_across": axes.across, "data_frame": frame}
    drawing = picture(title, f"{where}, {scale}: {said}.", WIDTH, HEIGHT, *parts, key=key, **read)
    return tag("div", drawing, class_="plot")


def _steps(steps: Sequence[float]) -> str:
    first, last = steps[0], steps[-1]
    if len(steps) > 2 and list(steps) == [first + i for i in range(len(steps))]:
        return f"{first:g}:{last:g}"
    return " ".join(f"{x:g}" for x in steps)


def _values(axes: Axes, line: Line, steps: Sequence[float]) -> str:
    """The numbers of a line at all steps as they are read out, also those that have no place on the axis."""
    at = dict(line.points)
    return " ".join(_told(axes, at[x]) if x in at else "–" for x in steps)


def _path(places: Sequence[tuple[float, float]]) -> str:
    """A line through places of one decimal, each by its distance from the one before: the file is shorter."""
    path = f"M{places[0][0]:g} {places[0][1]:g}l"
    for before, after in itertools.pairwise(places):
        for x, y in zip(before, after, strict=True):
            step = f"{round(y - x, 1) + 0.0:g}".replace("0.", ".", 1) if abs(y - x) < 1 else f"{round(y - x, 1):g}"
            path += step if step[0] == "-" or path[-1] == "l" else f" {step}"  # a minus divides as well
    return path.removesuffix("l")


def _told(axes: Axes, y: float) -> str:
    return f"10^{number(y, 3)}" if axes.up == "powers" else number(y, 3)


def decades(low: float, high: float, fine: bool = True) -> list[float]:
    """Powers of ten around the numbers, at most eight; if there are few, 1, 2 and 5 times them with ``fine``."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if fine and last - first <= 2:
        steps = [m * 10.0**e for e in range(first, last + 1) for m in (1, 2, 5)]
        inside = [t for t in steps if low / 2.01 <= t <= high * 2.01]
        return inside if len(inside) > 1 else [10.0**first, 10.0**last]
    step = math.ceil((last - first) / 6)
    return [10.0**e for e in range(first, last + step, step)]


def _round(low: float, high: float, least: float | None = None) -> list[float]:
    """About five round numbers that enclose the others, multiples of ``least``."""
    if low == high:
        low, high = low - abs(low) / 2 - 0.5, high + abs(high) / 2 + 0.5
    raw = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= raw * 0.999)
    step = least * math.ceil(step / least) if least else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * i for i in range(first, last + 1)]


def _whole(first: int, last: int) -> list[int]:
    """The first and the last whole number, and up to three round ones between them."""
    inside = [round(t) for t in _round(first, last) if first < t < last and t == round(t)] if last > first else []
    apart = (last - first) / 12
    return [first, *(t for t in inside if t - first > apart and last - t > apart), *([last] if last > first else [])]


def _spread(labels: list[tuple[Line, float]]) -> list[tuple[Line, float]]:
    """The labels moved down, then up, until no two overlap."""
    placed = sorted(labels, key=lambda pair: pair[1])
    ys = [y for _, y in placed]
    for i in range(1, len(ys)):
        ys[i] = max(ys[i], ys[i - 1] + GAP)
    floor = HEIGHT - BOTTOM
    for i in reversed(range(len(ys))):
        ys[i] = min(ys[i], floor)
        floor = ys[i] - GAP
    return [(line, y) for (line, _), y in zip(placed, ys, strict=True)]
