"""Layers at a glance: how much gradient reaches each, and the slope of each of its units."""

import math

from everygrad.diagnose import THRESHOLDS, LayerFlow, LayerUnits
from everygrad.diagnose.units import counted
from everygrad.report.markup import Markup, picture, tag
from everygrad.report.plots import decades
from everygrad.report.words import clean, number

MOST_CELLS = 64
ROW, WIDTH, LEFT, RIGHT = 26.0, 640.0, 84.0, 110.0


def ladder(flow: tuple[LayerFlow, ...], key: str) -> Markup:
    """One line per layer, as long as its gradient is far from the last layer's, in powers of ten."""
    ratios = [row.ratio for row in flow if row.ratio > 0 and math.isfinite(row.ratio)]
    ticks = decades(min([THRESHOLDS.vanishing, *ratios]), max([THRESHOLDS.exploding, *ratios]), fine=False)
    low, high = math.log10(ticks[0]), math.log10(ticks[-1])
    height = ROW * len(flow) + 44

    def across(ratio: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(ratio) - low) / (high - low)

    bottom = height - 36
    parts: list[Markup] = []
    for tick in ticks:
        parts.append(tag("path", class_="grid", d=f"M{across(tick):.1f} 8V{bottom:g}"))
        parts.append(tag("text", number(tick), x=f"{across(tick):.1f}", y=f"{bottom + 18:g}", class_="tick"))
    for limit in (THRESHOLDS.vanishing, THRESHOLDS.exploding):
        parts.append(tag("path", class_="limit", d=f"M{across(limit):.1f} 8V{bottom:g}"))
    for place, row in enumerate(flow):
        y = 8 + ROW * (place + 0.5)
        parts.append(tag("text", clean(row.name, 10), x=f"{LEFT - 12:g}", y=f"{y + 4:g}", class_="row"))
        shown = number(row.ratio, 2)
        parts.append(tag("text", shown, x=f"{WIDTH - RIGHT + 16:g}", y=f"{y + 4:g}", class_="tick start"))
        if row.ratio > 0 and math.isfinite(row.ratio):
            parts.append(tag("path", class_="stem", d=f"M{across(1.0):.1f} {y:g}H{across(row.ratio):.1f}"))
            parts.append(tag("circle", class_="dot", cx=f"{across(row.ratio):.1f}", cy=f"{y:g}", r="4"))
    said = ", ".join(f"{clean(row.name)} {number(row.ratio, 2)}" for row in flow)
    title = f"Gradient of each layer relative to {clean(flow[-1].name)}"
    return picture(title, f"Logarithmic scale: {said}.", WIDTH, height, *parts, key=f"{key}ladder")


def slopes(layer: LayerUnits, key: str) -> Markup:
    """One cell for each unit of a layer: the darker, the steeper on average; a cross where it is dead."""
    count = len(layer)
    units = range(count) if count <= MOST_CELLS else [i * count // MOST_CELLS for i in range(MOST_CELLS)]
    steepest = max((float(s) for s in layer.slope if math.isfinite(s)), default=0.0)
    cells = []
    for place, unit in enumerate(units):
        slope, x = float(layer.slope[unit]), place * 15 + 1
        part = slope / steepest if steepest and math.isfinite(slope) else 0.0
        said = tag("title", f"{clean(layer.labels[unit])}: mean slope {number(slope, 3)}")
        cells.append(tag("rect", said, class_="cell", x=x, fill_opacity=f"{part:.2f}"))
        if layer.dead[unit]:
            cells.append(tag("path", class_="cross", d=f"M{x + 3} 5l7 8m0 -8l-7 8"))
    shown = f"{len(cells)} of {counted(count, 'unit')}" if count > MOST_CELLS else counted(count, "unit")
    title = f"Mean slope of {clean(layer.activation)} at each unit of {clean(layer.name)}"
    dead = f", {sum(layer.dead):,} dead" if any(layer.dead) else ""
    return picture(title, f"{shown}, up to {number(steepest, 3)}{dead}.", len(units) * 15 + 2, 18, *cells, key=key)
