"""Interleaved timing: in every round each contender runs once, so that drift of the machine cancels in the ratio."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Work = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Milliseconds of every round, and the ratio of ours to a rival's, round by round."""

    milliseconds: Mapping[str, tuple[float, ...]]

    def best(self, name: str) -> float:
        return min(self.milliseconds[name])

    def median(self, name: str) -> float:
        return statistics.median(self.milliseconds[name])

    def ratio(self, ours: str, rival: str) -> tuple[float, float, float]:
        """(lower quartile, median, upper quartile) of ours / rival."""
        pairs = zip(self.milliseconds[ours], self.milliseconds[rival], strict=True)
        low, middle, high = statistics.quantiles([a / b for a, b in pairs], n=4)
        return low, middle, high


PAUSE = 0.15
"""Seconds after which the threads of every library sleep: those of OpenBLAS look for work for 0.11 after a product."""


def interleaved(
    contenders: Mapping[str, Work], seconds: float, at_least: float = 2e-2, pause: float = PAUSE, rounds: int = 5
) -> Timing:
    """Time the contenders in turn for about so many seconds in all, and for so many rounds at least.

    Each is repeated within a round until the round takes ``at_least`` seconds, so that the clock's own
    grain does not matter; the order is turned by one from round to round. A pause and a call that is not timed come
    before, so that nobody shares the processors with threads of the one before, and each finds its own awake.
    """
    repeats = {}
    for name, work in contenders.items():
        for _ in range(3):
            work()
        start = time.perf_counter()
        work()
        repeats[name] = max(1, round(at_least / (time.perf_counter() - start)))
    names = list(contenders)
    found: dict[str, list[float]] = {name: [] for name in names}
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(found[names[0]]) < rounds:
        for name in names:
            work, n = contenders[name], repeats[name]
            time.sleep(pause)
            work()
            start = time.perf_counter()
            for _ in range(n):
                work()
            found[name].append((time.perf_counter() - start) / n * 1e3)
        names.append(names.pop(0))
    return Timing({name: tuple(times) for name, times in found.items()})
