"""Distributions as rows: on the left the values of a quantity, on the right its gradients on a common scale."""

import math
from collections.abc import Sequence

from everygrad.report.markup import Markup, picture, tag
from everygrad.report.picture_records import Distribution, Histogram
from everygrad.report.words import clean, number

WIDTH, ROW, TOP, BOTTOM = 640.0, 46.0, 30.0, 26.0
VALUES, GRADIENTS = (92.0, 308.0), (350.0, 628.0)
"""Left and right ends of the two halves."""
TALLEST = 30


def ridges(shown: Sequence[Distribution], title: str, key: str) -> Markup:
    """One row for each quantity; all bins of a half are equally wide."""
    height = TOP + ROW * len(shown) + BOTTOM
    parts: list[Markup] = [
        tag("text", "values", x=f"{sum(VALUES) / 2:g}", y="16", class_="soft"),
        tag("text", "gradients", x=f"{sum(GRADIENTS) / 2:g}", y="16", class_="soft"),
    ]
    edges = shown[0].gradient.edges
    middle = len(edges) // 2  # the first edge above 0
    bottom = TOP + ROW * len(shown)
    for i in (0, middle, len(edges) - 1):  # the bin around 0 has its tick at its upper edge
        x = f"{_across(GRADIENTS, i, len(edges) - 1):.1f}"
        parts.append(tag("path", class_="grid", d=f"M{x} {TOP:g}V{bottom:g}"))
        parts.append(tag("text", number(float(edges[i]), 2), x=x, y=f"{bottom + 17:g}", class_="tick"))
    for row, one in enumerate(shown):
        parts += _row(one, TOP + ROW * (row + 1))
    return picture(title, _told(shown), WIDTH, height, *parts, key=key)


def _row(one: Distribution, base: float) -> list[Markup]:
    low, high = (number(float(edge), 2) for edge in (one.value.edges[0], one.value.edges[-1]))
    lines = "".join(f"M{left:g} {base:g}H{right:g}" for left, right in (VALUES, GRADIENTS))
    parts = [
        tag("text", clean(one.name, 9), x=f"{VALUES[0] - 12:g}", y=f"{base - 9:g}", class_="row"),
        tag("path", class_="grid", d=lines),
        tag("path", class_="seq", d=_area(one.value, VALUES, base, 0, len(one.value.counts))),
        tag("text", low, x=f"{VALUES[0]:g}", y=f"{base + 11:g}", class_="tick start fine"),
        tag("text", high, x=f"{VALUES[1]:g}", y=f"{base + 11:g}", class_="tick end fine"),
    ]
    bins, middle = len(one.gradient.counts), len(one.gradient.counts) // 2
    for colour, first, last in (("neg", 0, middle), ("rest", middle, middle + 1), ("pos", middle + 1, bins)):
        if one.gradient.counts[first:last].any():
            parts.append(tag("path", class_=colour, d=_area(one.gradient, GRADIENTS, base, first, last)))
    return parts


def _across(half: tuple[float, float], edge: int, bins: int) -> float:
    return half[0] + (half[1] - half[0]) * edge / bins


def _area(h: Histogram, half: tuple[float, float], base: float, first: int, last: int) -> str:
    """Bins from ``first`` up to ``last``: as high as the square root of their part of the fullest one."""
    fullest = max(int(h.counts.max()), 1)
    width = (half[1] - half[0]) / len(h.counts)
    steps, at = "", 0
    for n in h.counts[first:last]:
        tall = math.ceil(TALLEST * math.sqrt(int(n) / fullest))
        steps += f"v{at - tall}h{width:.4g}" if tall != at else f"h{width:.4g}"
        at = tall
    return f"M{_across(half, first, len(h.counts)):.1f} {base:g}{steps}V{base:g}z"


def _told(shown: Sequence[Distribution]) -> str:
    said = [
        f"{clean(d.name, 30)} from {number(d.value.quantiles[0], 2)} to {number(d.value.quantiles[4], 2)}, "
        f"median |∇| {number(d.gradient.magnitude, 2)}"
        for d in shown
    ]
    return f"Histograms. {'; '.join(said)}."
