"""A matrix of signed numbers as a picture: colour is the sign, opacity the magnitude."""

import base64
import math
import struct
import zlib
from typing import Any, Literal

import numpy as np

from everygrad.engines.shapes import Float, UInt8
from everygrad.report.markup import Markup, tag
from everygrad.report.words import number

Array = Any

POSITIVE, NEGATIVE, BROKEN = (209, 96, 20), (38, 116, 190), (200, 0, 160)
"""Orange, blue and magenta: told apart by all common kinds of colour blindness, on white and on black alike."""
STEPS = 16
"""Shades for each sign: the eye sees no more, and the file is half as large as with 127."""
FEW_STEPS = 8
"""Shades for each sign of values and of weights: one looks for a pattern, and the file is smaller."""
DECADES = 3
"""Powers of ten between the strongest shade and none."""
LONGEST = 264
"""Points of the screen that a picture is high, or wide, at most."""
Scale = Literal["logarithmic", "linear"]


def shade(value: float, largest: float) -> float:
    """Opacity of a number: the square root of its part of the largest, since gradients have long tails."""
    return math.sqrt(min(abs(value) / largest, 1.0)) if largest and math.isfinite(value / largest) else 0.0


def indices(
    values: Float[Array, "rows columns"], largest: float, scale: Scale = "logarithmic", shades: int = STEPS
) -> UInt8[Array, "rows columns"]:
    """Palette entries of n shades: 0 for nothing, 1..n positive, n + 1..2 n negative, 2 n + 1 not finite.

    Of gradients the shade is logarithmic, from the largest magnitude down to a thousandth of it: those of one
    batch differ by powers of ten, on a linear scale a few samples would be all that one sees. Of values it is linear.
    """
    with np.errstate(all="ignore"):
        part = np.abs(values) / (largest or 1.0)
        height = part if scale == "linear" else 1.0 + np.log10(part) / DECADES
        level = np.ceil(np.clip(height, 0.0, 1.0) * shades)
        entry = np.where(values < 0, level + shades * (level > 0), level)
    return np.where(np.isfinite(values), np.nan_to_num(entry), 2 * shades + 1).astype(np.uint8)


def png(entries: UInt8[Array, "rows columns"], shades: int = STEPS) -> bytes:
    """An indexed PNG whose palette has transparency, so that it suits a light and a dark page.

    PNG specification, third edition: chunks IHDR, PLTE, tRNS, IDAT, IEND; no filter.
    """
    rows, columns = entries.shape
    opacity = [round(255 * (i + 1) / shades) for i in range(shades)]
    palette = bytes((*POSITIVE, *POSITIVE * shades, *NEGATIVE * shades, *BROKEN))
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


def source(
    values: Float[Array, "rows columns"], largest: float, scale: Scale = "logarithmic", shades: int = STEPS
) -> Markup:
    """The picture as an address that holds it."""
    content = png(indices(values, largest, scale, shades), shades)
    return Markup("data:image/png;base64," + base64.b64encode(content).decode("ascii"))


def image(
    values: Float[Array, "rows columns"],
    largest: float,
    description: str,
    scale: Scale = "logarithmic",
    square: bool = False,
) -> Markup:
    """The picture, rows as they come, one block of colour for each number; with ``square`` blocks are as wide as high.

    Else it is as wide as there is room.
    """
    shades = FEW_STEPS if square or scale == "linear" else STEPS
    rows, columns = values.shape
    if square:
        cell = min(LONGEST / max(rows, columns), 10.0)
        width, height = (max(round(cell * n), 12) for n in (columns, rows))
        size = f"width:{width}px;aspect-ratio:{width}/{height}"
    else:
        size = f"height:{min(max(7 * rows, 28), LONGEST)}px"
    return tag(
        "img",
        class_="map square" if square else "map",
        src=source(values, largest, scale, shades),
        alt=description,
        width=columns,
        height=rows,
        style=size,
    )


def legend(largest: float, signed: bool = True, scale: Scale = "logarithmic") -> Markup:
    """The scale below a picture: shades up to the largest positive number, from the largest negative one or from 0."""
    end, zero = number(largest, 2), number(largest / 10**DECADES, 2)
    middle = ("within ±" + zero if signed else "up to " + zero) if scale == "logarithmic" else "0"
    ticks = [tag("span", "−" + end) if signed else None, tag("span", middle), tag("span", end)]
    bar = tag("div", class_="bar" if signed else "bar up")
    return tag("div", bar, tag("div", *ticks, class_="ticks"))
