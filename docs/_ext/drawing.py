"""Line charts on a logarithmic scale as SVG, in the colours of the page's theme."""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 128, 14, 44
# Okabe and Ito's palette, in two darknesses that show on white and on black.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
DASHES = ("none", "7 4", "2 3", "9 3 2 3")


def decades(series: Mapping[str, Sequence[float]], x: str, y: str, title: str, bottom: float = -16.0) -> str:
    """The chart: log₁₀ of each series over 0, 1, 2, ...; what is below 10^bottom leaves the picture there."""
    logs = {name: [math.log10(v) if v > 0 else -math.inf for v in values] for name, values in series.items()}
    there = [v for values in logs.values() for v in values if v > bottom]
    low, high = max(bottom, math.floor(min(there))), math.ceil(max(there))
    last = max(len(values) for values in logs.values()) - 1
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def at(i: float, v: float) -> tuple[float, float]:
        return LEFT + wide * i / last, TOP + tall * (high - v) / (high - low)

    parts = [f'<title>{escape(title)}</title><g font-size="12" fill="currentColor" font-family="inherit">']
    every = max(1, math.ceil((high - low) / 6))
    for v in range(int(low), int(high) + 1, every):
        _, height = at(0, v)
        parts.append(
            f'<path d="M{LEFT} {height:.1f}H{LEFT + wide}" stroke="currentColor" opacity=".18"/>'
            f'<text x="{LEFT - 8}" y="{height + 4:.1f}" text-anchor="end">10<tspan dy="-5" font-size="9">'
            f"{str(v).replace('-', '−')}</tspan></text>"
        )
    for i in range(0, last + 1, max(1, math.ceil(last / 8))):
        place, _ = at(i, low)
        parts.append(f'<text x="{place:.1f}" y="{TOP + tall + 17}" text-anchor="middle">{i}</text>')
    parts.append(
        f'<text x="{LEFT + wide / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x)}</text>'
        f'<text transform="translate(14 {TOP + tall / 2:.0f}) rotate(-90)" text-anchor="middle">{escape(y)}</text></g>'
    )
    for k, (name, values) in enumerate(logs.items()):
        points = [at(i, v) for i, v in enumerate(values) if v > bottom]
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        colour, dash, height = COLOURS[k % 4], DASHES[k % 4], TOP + 14 + 22 * k
        stroke = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
        parts.append(
            f'<polyline points="{line}" {stroke}/><path d="M{WIDTH - RIGHT + 10} {height}h22" {stroke}/>'
            f'<text x="{WIDTH - RIGHT + 38}" y="{height + 4}" font-size="12" fill="currentColor">{escape(name)}</text>'
        )
    picture = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    return f'<div class="chart">{picture}</div>'
