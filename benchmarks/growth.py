"""How the cost grows with time steps, batch and units: measured slopes beside the predicted ones."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.engines import ours
from benchmarks.recurrent import problem

BASE = {"T": 200, "B": 32, "d": 64}
SWEEPS: dict[str, tuple[tuple[int, ...], float]] = {
    "T": ((100, 200, 400, 800, 1600), 1.0),
    "B": ((32, 64, 128, 256, 512), 1.0),
    "d": ((64, 128, 256, 512), 2.0),
}
"""What grows -> its sizes, and the exponent that the number of operations of the largest ones predicts."""


def fits(seconds: float, cell: str = "lstm") -> list[dict[str, Any]]:
    """One row for each of T, B and d: the times, and the slope of log time by log size over the last three sizes.

    Gradients of every quantity, float32; the best of as many calls as fit into the seconds of each size.
    """
    found = []
    for what, (sizes, predicted) in SWEEPS.items():
        times = []
        for n in sizes:
            size = {**BASE, what: n}
            work = ours(problem(cell, (size["T"], size["B"], size["d"], size["d"])))
            times.append(best(work, seconds / len(sizes)))
        last = slice(-3, None)
        slope = float(np.polyfit(np.log(sizes[last]), np.log(times[last]), 1)[0])
        others = ", ".join(f"{name} {value}" for name, value in BASE.items() if name != what)
        row = {"case": f"{cell}, {others}", "what": what, "sizes": sizes, "best_ms": times}
        found.append({**row, "slope": slope, "predicted": predicted})
    return found


def best(work: Callable[[], Any], seconds: float) -> float:
    """Milliseconds: the best of the calls that fit into the seconds, of at least three."""
    for _ in range(2):
        work()
    times: list[float] = []
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(times) < 3:
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return min(times)
