"""Tables as text."""

from collections.abc import Sequence

import numpy as np


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A title, column heads, a line, and rows; the first column to the left, the others to the right."""
    cells = [list(head), *map(list, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = []
    for first, *others in cells:
        right = [text.rjust(w) for text, w in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *right]))
    return "\n".join([title, lines[0].rstrip(), "-" * len(lines[0]), *(line.rstrip() for line in lines[1:])])


def spread_out(n: int, most: int = 8) -> list[int]:
    """At most ``most`` of the indices 0..n−1, evenly, with the first and the last."""
    return sorted(set(np.linspace(0, n - 1, min(n, most)).round().astype(int).tolist()))


def number(x: float) -> str:
    """Four digits."""
    return f"{x:.4g}"
