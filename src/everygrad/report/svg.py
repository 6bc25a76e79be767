"""The network as columns of units: colour is the gradient at the unit, lines are the weights that carry most."""

import math
from collections.abc import Sequence

from everygrad.diagnose.units import LayerUnits, counted
from everygrad.report.heatmap import shade
from everygrad.report.markup import Markup, join, picture, tag, text
from everygrad.report.record import Column, Edges, Picture
from everygrad.report.words import clean, number

SPACING, TOP, BOTTOM, SIDE = 17.0, 62.0, 44.0, 66.0
RADIUS = 6.5
"""Of a unit, as in style.css."""
SHADES = 8
"""Groups of lines of one width: one path each keeps the file small."""


def network(shown: Picture, layers: Sequence[LayerUnits], key: str) -> Markup:
    """The columns from the input on the left to the prediction on the right."""
    columns = shown.columns
    tallest = max(len(c.shown) for c in columns)
    height = TOP + SPACING * max(tallest, 3) + BOTTOM
    width = max(560.0, 2 * SIDE + (190.0 if len(columns) < 6 else 130.0) * (len(columns) - 1))
    step = (width - 2 * SIDE) / max(len(columns) - 1, 1)
    x = {c.name: SIDE + step * i if len(columns) > 1 else width / 2 for i, c in enumerate(columns)}
    middle = TOP + SPACING * max(tallest, 3) / 2
    at = {
        (c.name, unit): (x[c.name], middle + SPACING * (row - (len(c.shown) - 1) / 2))
        for c in columns
        for row, unit in enumerate(c.shown)
    }
    dead = {(layer.name, i) for layer in layers for i in range(len(layer)) if layer.dead[i]}
    parts: list[object] = [_lines(edges, at) for edges in shown.edges]
    for column in columns:
        parts.append(_head(column, x[column.name]))
        units = (_unit(column, row, at[column.name, unit], dead) for row, unit in enumerate(column.shown))
        parts.append(tag("g", *units, class_="column"))
        foot = f"up to {number(_largest(column), 2)}"
        parts.append(tag("text", foot, x=f"{x[column.name]:g}", y=f"{height - 14:g}", class_="soft"))
    parts += _gap(shown, x, middle)
    return picture("The network and the gradient at each unit", describe(shown), width, height, *parts, key=f"{key}net")


def describe(shown: Picture) -> str:
    """The picture in words: the layers, how many of their units are shown, and the largest mean gradients."""
    sizes = [
        f"{clean(c.name)}: {counted(c.units, 'unit')}"
        + (f", {len(c.shown)} shown" if len(c.shown) < c.units else "")
        + f", mean gradient up to {number(_largest(c), 2)}"
        for c in shown.columns
    ]
    missing = f" {len(shown.columns)} of {shown.total:,} layers are shown." if len(shown.columns) < shown.total else ""
    return "; ".join(sizes) + "." + missing


def sampled(shown: Picture) -> str:
    """What the picture leaves out, in words; "" if nothing."""
    said = [f"{len(c.shown)} of {c.units:,} units of {clean(c.name)}" for c in shown.columns if len(c.shown) < c.units]
    parts = [f"showing {', '.join(said)}: those with the largest mean |∇|"] if said else []
    lines = sum(len(e.shown) for e in shown.edges), sum(e.total for e in shown.edges)
    if lines[0] < lines[1]:
        parts.append(f"{lines[0]:,} of {lines[1]:,} weights: those that carry most")
    if len(shown.columns) < shown.total:
        parts.append(f"{len(shown.columns)} of {shown.total:,} layers: the first and the last")
    return "; ".join(parts)


def _largest(column: Column) -> float:
    return max((abs(float(m)) for m in column.mean if math.isfinite(m)), default=0.0)


def _head(column: Column, x: float) -> Markup:
    some = len(column.shown) < column.units
    size = f"{len(column.shown)} of {column.units:,}" if some else counted(column.units, "unit")
    return join(
        tag("text", clean(column.name, 14), x=f"{x:g}", y="24", class_="name"),
        tag("text", size, x=f"{x:g}", y="42", class_="soft"),
    )


def _unit(column: Column, row: int, at: tuple[float, float], dead: set[tuple[str, int]]) -> Markup:
    mean, unit = float(column.mean[row]), column.shown[row]
    state = ", dead" if (column.name, unit) in dead else ""
    hint = f"{clean(column.name)}[{unit}]{state}: mean ∇ {number(mean, 3)}, mean |∇| {number(column.magnitude[row], 3)}"
    colour = ("pos" if mean >= 0 else "neg") if math.isfinite(mean) else "broken"
    strength = shade(mean, _largest(column)) if math.isfinite(mean) else 1.0
    return tag(
        "circle",
        tag("title", hint),
        class_=f"unit {colour} dead" if state else f"unit {colour}",
        cx=f"{at[0]:g}",
        cy=f"{at[1]:g}",
        style=f"--s:{strength:.0%}",  # how much of the colour: style.css, which has the radius too
    )


def _lines(edges: Edges, at: dict[tuple[str, int], tuple[float, float]]) -> Markup:
    """The lines of one pair of columns, the strongest widest, drawn in a few groups."""
    largest = max((s for _, _, s in edges.shown if math.isfinite(s)), default=0.0)
    groups: dict[int, list[str]] = {}
    for j, m, strength in edges.shown:
        level = math.ceil(SHADES * strength / largest) if largest and math.isfinite(strength) else 0
        if level:
            (x1, y1), (x2, y2) = at[edges.left, j], at[edges.right, m]
            groups.setdefault(level, []).append(f"M{x1 + RADIUS:g} {y1:g}L{x2 - RADIUS:g} {y2:g}")
    paths = []
    for level, parts in sorted(groups.items()):
        part = level / SHADES
        look = {"stroke-width": f"{0.4 + 1.8 * part:.2f}", "stroke-opacity": f"{0.1 + 0.55 * part:.2f}"}
        paths.append(tag("path", class_="edge", d=Markup("".join(parts)), **look))
    return join(*paths)


def _gap(shown: Picture, x: dict[str, float], middle: float) -> list[Markup]:
    """Dots where layers are left out."""
    places = list(x.values())
    found = []
    if len(places) < shown.total:
        half = len(places) // 2
        centre = (places[half - 1] + places[half]) / 2
        found.append(tag("text", text("⋯"), x=f"{centre:g}", y=f"{middle:g}", class_="name"))
        found.append(
            tag("text", f"{shown.total - len(places):,} layers", x=f"{centre:g}", y=f"{middle + 18:g}", class_="soft")
        )
    return found
