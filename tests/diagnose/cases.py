"""Networks that are well and networks that are ill, on seeded random data."""

import numpy as np

import everygrad as eg
from everygrad.backprop import Gradients


def gradients_of(
    sizes: list[int],
    activation: str,
    *,
    scale: float = 1.0,
    bias: float = 0.0,
    samples: int = 64,
    loss: str = "softmax_cross_entropy",
    check_finite: bool = True,
    seed: int = 0,
) -> Gradients:
    """Gradients of a feed-forward network whose weights are scaled and whose hidden biases are shifted."""
    net = eg.FeedForward(sizes, activation=activation, loss=loss)
    rng = np.random.default_rng(seed + 1)
    params = {
        name: value * scale if name.startswith("W") else value + (bias if name != f"b{net.depth}" else 0.0)
        for name, value in net.init(seed).items()
    }
    x = rng.normal(size=(samples, sizes[0]))
    y = rng.integers(0, sizes[-1], samples) if "softmax" in loss else rng.normal(size=(samples, sizes[-1]))
    return eg.gradients(net, params, x, y, check_finite=check_finite)
