"""The first calls of a network: what it costs to make a plan, to record the pass, and to run what was recorded."""

import statistics
import time
from typing import Any

import numpy as np

import everygrad as eg

NETWORKS = {
    "2-3-2, B 1": lambda: eg.FeedForward([2, 3, 2]),
    "64-128-128-10, B 64": lambda: eg.FeedForward([64, 128, 128, 10]),
    "LSTM of 32 units, T 50, B 8": lambda: eg.Recurrent(eg.LSTM(8, 32), outputs=10),
}
CALLS = 4


def first_calls(rounds: int = 9) -> list[dict[str, Any]]:
    """For each network the median milliseconds of its first calls, each round with a network of its own."""
    found = []
    for title, make in NETWORKS.items():
        samples = int(title.rpartition(" ")[2])
        steps = 50
        times: list[list[float]] = []
        for _ in range(rounds):
            net = make()
            arrays = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in net.example(samples, steps)]
            params = net.init(0, np.float32)
            times.append([])
            for _ in range(CALLS):
                start = time.perf_counter()
                eg.gradients(net, params, *arrays)
                times[-1].append((time.perf_counter() - start) * 1e3)
        found.append({"case": title, "median_ms": [statistics.median(each) for each in zip(*times, strict=True)]})
    return found
