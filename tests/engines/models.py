"""Networks, with data, that between them use every operation: computed with NumPy and float64 as the reference."""

import numpy as np

import everygrad as eg
from everygrad.graph.elementwise import RULES
from everygrad.graph.losses import BinaryCrossEntropy, Reduce, SoftmaxCrossEntropy, SquaredError
from everygrad.networks import FeedForward

ACTIVATIONS = [name for name in RULES if name not in ("log", "sqrt")]
LOSSES = {
    f"{make.__name__} {settings}": make(**settings)
    for make, several in (
        (SoftmaxCrossEntropy, [{"reduction": r, "smoothing": s} for r in ("mean", "sum", "none") for s in (0.0, 0.1)]),
        (BinaryCrossEntropy, [{"reduction": r, "outputs": o} for r in ("mean", "none") for o in ("sum", "mean")]),
        (
            SquaredError,
            [{"reduction": r, "outputs": "mean", "half": h} for r in ("mean", "sum") for h in (True, False)],
        ),
    )
    for settings in several
}


def targets(loss, batch, outputs, labels=True):
    rng = np.random.default_rng(7)
    if not isinstance(loss, SoftmaxCrossEntropy):
        return rng.uniform(size=(batch, outputs))
    return rng.integers(0, outputs, batch) if labels else rng.dirichlet(np.ones(outputs), batch)


def feed_forward(activation="tanh", loss="softmax_cross_entropy", dtype=np.float64, labels=True, weighted=False):
    """(network, parameters, data) of 5-4-3 units and 6 samples."""
    net = FeedForward([5, 4, 3], activation, loss, weighted=weighted)
    rng = np.random.default_rng(3)
    params = {name: 0.7 * rng.normal(size=shape) for name, shape in net.shapes.items()}
    data = [rng.normal(size=(6, 5)), targets(net.loss, 6, 3, labels)]
    if weighted:
        data.append(rng.uniform(0.5, 2.0, 6))
    params = {name: p.astype(dtype) for name, p in params.items()}
    return net, params, [d.astype(dtype) if d.dtype.kind == "f" else d for d in data]


def every_operation(dtype=np.float64):
    """(graph, parameters, data): everything of the table that a `FeedForward` has not."""

    def f(x, t, *, W1, b1, W2, u):
        a1 = W1 @ x + b1
        h1 = eg.ops.tanh(a1) * u + x[[0, 3, 3]] / (2.0 + eg.ops.square(x[1:4]))
        joined = eg.ops.concatenate(h1, a1 - h1, x[::2])
        a2 = joined @ W2.T
        tied = eg.ops.sigmoid(a2) @ W2
        s = eg.ops.sum(eg.ops.exp(-tied)) + eg.ops.dot(h1, a1)
        rest = eg.ops.log(3.0 + eg.ops.cos(s)) * eg.ops.sqrt(1.0 + h1[0] ** 2)
        return eg.ops.squared_error(a2, t, outputs="mean") + eg.ops.apply(Reduce("mean"), rest)

    rng = np.random.default_rng(5)
    shapes = {"W1": (3, 5), "b1": (3,), "W2": (2, 9), "u": (3,)}
    params = {name: (0.6 * rng.normal(size=shape)).astype(dtype) for name, shape in shapes.items()}
    return eg.graph(f), params, [rng.normal(size=(4, 5)).astype(dtype), rng.normal(size=(4, 2)).astype(dtype)]
