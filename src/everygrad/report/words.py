"""Numbers and names as people read them, the same in every form of a report."""

import math
import unicodedata
from collections.abc import Iterable

LONGEST = 80


def clean(text: object, longest: int = LONGEST) -> str:
    """Text from a model or a file on one line: no control characters, no direction overrides, not too long."""
    shown = str(text)
    if not shown.isprintable():
        shown = "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in _HIDDEN else c for c in shown)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format, surrogate, line and paragraph separators


def number(value: float | None, digits: int = 4) -> str:
    """Four significant digits; ``NaN`` and ``Infinity`` by name, ``–`` for what was not measured."""
    if value is None:
        return "–"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return f"{value:.{digits}g}"


def percent(share: float | None) -> str:
    """``97.5 %``."""
    if share is None or not math.isfinite(share):
        return number(share)
    return f"{100 * share:.4g} %"


def shape(axes: tuple[int, ...]) -> str:
    """``16 × 32``; ``number`` for an array without axes."""
    return " × ".join(map(str, axes)) or "number"


def listed(x: Iterable[float], most: int = 32) -> str:
    """The numbers of a vector, the first and the last if there are many."""
    words = [number(float(v), 3) for v in x]
    if len(words) <= most:
        return ", ".join(words)
    half = most // 2
    return f"{', '.join(words[:half])}, … , {', '.join(words[-half:])} ({len(words):,} numbers)"


def some(names: Iterable[str], most: int = 12) -> str:
    """The first names of a list, and how many more there are."""
    listed = [clean(name, 40) for name in names]
    more = f" and {len(listed) - most:,} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
