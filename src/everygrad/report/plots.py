"""Lines over epochs, with their names and numbers written on them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

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


def plot(title: str, lines: Sequence[Line], logarithmic: bool, key: str) -> Markup:
    """Lines over the epochs, named at their right ends; numbers that have no place on the axis leave a gap."""
    drawn = [Line(line.label, tuple(p for p in line.points if _fits(p[1], logarithmic)), line.colour) for line in lines]
    drawn = [line for line in drawn if line.points]
    if not drawn:
        return tag("p", f"{title}: no number that could be drawn.", class_="soft")
    xs = [x for line in drawn for x, _ in line.points]
    ys = [y for line in drawn for _, y in line.points]
    ticks = decades(min(ys), max(ys)) if logarithmic else _round(min(ys), max(ys))
    low, high = min(ticks[0], min(ys)), max(ticks[-1], max(ys))

    def across(x: float) -> float:
        span = max(xs) - min(xs)
        return LEFT + (WIDTH - LEFT - RIGHT) * ((x - min(xs)) / span if span else 0.5)

    def up(y: float) -> float:
        a, b, c = (math.log10(v) for v in (low, y, high)) if logarithmic else (low, y, high)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * ((b - a) / (c - a) if c > a else 0.5)

    parts: list[Markup] = []
    for tick in ticks:
        y = f"{up(tick):.1f}"
        parts.append(tag("path", class_="grid", d=f"M{LEFT:g} {y}H{WIDTH - RIGHT:g}"))
        parts.append(tag("text", number(tick), x=f"{LEFT - 7:g}", y=y, dy="4", class_="tick end"))
    for x in _epochs(int(min(xs)), int(max(xs))):
        parts.append(tag("text", str(x), x=f"{across(x):.1f}", y=f"{HEIGHT - 14:g}", class_="tick"))
    parts.append(tag("text", "epoch", x=f"{WIDTH - RIGHT + 20:g}", y=f"{HEIGHT - 14:g}", class_="tick start"))
    for line in drawn:
        places = [(f"{across(x):.1f}", f"{up(y):.1f}") for x, y in line.points]
        if len(places) == 1:
            parts.append(tag("circle", cx=places[0][0], cy=places[0][1], r="3", class_=f"dot c{line.colour}"))
        path = "".join(f"{'L' if i else 'M'}{x} {y}" for i, (x, y) in enumerate(places))
        parts.append(tag("path", class_=f"line c{line.colour}", d=path))
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
        f"{clean(line.label)} from {number(line.points[0][1], 3)} to {number(line.points[-1][1], 3)}" for line in drawn
    )
    scale = "logarithmic scale" if logarithmic else "linear scale"
    return picture(title, f"Over epochs {min(xs):g} to {max(xs):g}, {scale}: {said}.", WIDTH, HEIGHT, *parts, key=key)


def _fits(y: float, logarithmic: bool) -> bool:
    return math.isfinite(y) and (y > 0 or not logarithmic)


def decades(low: float, high: float, fine: bool = True) -> list[float]:
    """Powers of ten around the numbers, at most eight; if there are few, 1, 2 and 5 times them with ``fine``."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if fine and last - first <= 2:
        steps = [m * 10.0**e for e in range(first, last + 1) for m in (1, 2, 5)]
        inside = [t for t in steps if low / 2.01 <= t <= high * 2.01]
        return inside if len(inside) > 1 else [10.0**first, 10.0**last]
    step = math.ceil((last - first) / 6)
    return [10.0**e for e in range(first, last + step, step)]


def _round(low: float, high: float) -> list[float]:
    """About five round numbers that enclose the others."""
    if low == high:
        low, high = low - abs(low) / 2 - 0.5, high + abs(high) / 2 + 0.5
    raw = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * i for i in range(first, last + 1)]


def _epochs(first: int, last: int) -> list[int]:
    """The first and the last epoch, and up to three round ones between them."""
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
