"""A matrix of signed numbers as a picture: colour is the sign, opacity the magnitude."""

import base64
import math
import struct
import zlib
from typing import Any

import numpy as np

from everygrad.engines.shapes import Float, UInt8
from everygrad.report.markup import Markup, join, tag
from everygrad.report.words import number

Array = Any

POSITIVE, NEGATIVE, BROKEN = (209, 96, 20), (38, 116, 190), (200, 0, 160)
"""Orange, blue and magenta: told apart by all common kinds of colour blindness, on white and on black alike."""
STEPS = 24
"""Shades for each sign: the eye sees no more, and the file is half as large as with 127."""
DECADES = 3
"""Powers of ten between the strongest shade and none."""


def shade(value: float, largest: float) -> float:
    """Opacity of a number: the square root of its part of the largest, since gradients have long tails."""
    return math.sqrt(min(abs(value) / largest, 1.0)) if largest and math.isfinite(value / largest) else 0.0


def indices(values: Float[Array, "rows columns"], largest: float) -> UInt8[Array, "rows columns"]:
    """Palette entries: 0 for nothing, 1..24 positive, 25..48 negative, 49 not finite.

    The shade is logarithmic, from the largest magnitude down to a thousandth of it: gradients of one
    batch differ by powers of ten, on a linear scale a few samples would be all that one sees.
    """
    with np.errstate(all="ignore"):
        decades = np.log10(np.abs(values) / (largest or 1.0))
        level = np.ceil(np.clip(1.0 + decades / DECADES, 0.0, 1.0) * STEPS)
        entry = np.where(values < 0, level + STEPS * (level > 0), level)
    return np.where(np.isfinite(values), np.nan_to_num(entry), 2 * STEPS + 1).astype(np.uint8)


def png(entries: UInt8[Array, "rows columns"]) -> bytes:
    """An indexed PNG whose palette has transparency, so that it suits a light and a dark page.

    PNG specification, third edition: chunks IHDR, PLTE, tRNS, IDAT, IEND; no filter.
    """
    rows, columns = entries.shape
    opacity = [round(255 * (i + 1) / STEPS) for i in range(STEPS)]
    palette = bytes((*POSITIVE, *POSITIVE * STEPS, *NEGATIVE * STEPS, *BROKEN))
    lines = b"".join(b"\0" + row.tobytes() for row in entries)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", palette),
            _chunk(b"tRNS", bytes((0, *opacity, *opacity, 255))),
            _chunk(b"IDAT", zlib.compress(lines, 9)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def image(values: Float[Array, "rows columns"], largest: float, description: str) -> Markup:
    """The picture, rows as they come, one block of colour for each number."""
    source = base64.b64encode(png(indices(values, largest))).decode("ascii")
    rows, columns = values.shape
    height = min(max(7 * rows, 28), 264)
    return tag(
        "img",
        class_="map",
        src=Markup(f"data:image/png;base64,{source}"),
        alt=description,
        width=columns,
        height=rows,
        style=f"height:{height}px",
    )


def legend(largest: float, signed: bool = True) -> Markup:
    """The scale below a picture: shades up to the largest positive number, from the largest negative one or from 0."""
    shades = range(-12 if signed else 0, 13)
    cells = [Markup(f'<i class="{"neg" if i < 0 else "pos"}" style="opacity:{abs(i) / 12:.3g}"></i>') for i in shades]
    end, zero = number(largest, 2), number(largest / 10**DECADES, 2)
    least = [tag("span", "−" + end), tag("span", "within ±" + zero)] if signed else [tag("span", "up to " + zero)]
    ticks = [*least, tag("span", end)]
    return tag(
        "div",
        tag("div", join(*cells), class_="bar", aria_hidden="true"),
        tag("div", *ticks, class_="ticks"),
        class_="legend",
    )
