"""Small numbers for a network that was given none: tenths or whole numbers, the same for the same seed."""

from typing import Any, Literal

import numpy as np

from everygrad.errors import InputError
from everygrad.graph.losses import BinaryCrossEntropy, SoftmaxCrossEntropy
from everygrad.networks import FeedForward, Recurrent

Kind = Literal["tenths", "integers", "init"]


def invented(
    network: Any, kind: Kind, seed: int, samples: int, steps: int, params: Any
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(parameters, data by name) for a feed-forward or recurrent network.

    ``"tenths"``: from -0.9 to 0.9; ``"integers"``: from -2 to 2; ``"init"``: the network's own random parameters, and
    normal data. Parameters that were given are kept. Raises `InputError` for another network.
    """
    if not isinstance(network, FeedForward | Recurrent):
        raise InputError(
            "no numbers were given, and for a graph of one's own none can be invented: derive(graph, 'h', params, x, y)"
        )
    rng = np.random.default_rng(seed)

    def drawn(shape: tuple[int, ...]) -> np.ndarray:
        if kind == "init":
            return rng.normal(size=shape)
        return rng.integers(-2, 3, shape).astype(float) if kind == "integers" else rng.integers(-9, 10, shape) / 10

    if params is None:
        params = network.init(seed) if kind == "init" else {name: drawn(s) for name, s in network.shapes.items()}
    lead = (samples,) if isinstance(network, FeedForward) else (samples, steps)
    if isinstance(network, FeedForward):
        data = {"h0": drawn((samples, network.sizes[0]))}
        outputs, target = network.sizes[-1], (samples,)
    else:
        tokens = network.embedding
        data = {"x": rng.integers(0, tokens[0], lead) if tokens is not None else drawn((*lead, network.cell.inputs))}
        outputs, target = network.outputs, lead if network.read == "each" else (samples,)
    if isinstance(network.loss, SoftmaxCrossEntropy):
        data["y"] = rng.integers(0, outputs, target)
    elif isinstance(network.loss, BinaryCrossEntropy):
        data["y"] = rng.integers(0, 2, (*target, outputs)).astype(float)
    else:
        data["y"] = drawn((*target, outputs))
    for name in network.graph.data:
        if name in data:
            continue
        if name == "lengths":
            data[name] = np.full(samples, steps)
        elif name == "mask":
            data[name] = np.ones(lead, bool)
        elif name == "weight":
            data[name] = np.ones(target)
        else:
            assert isinstance(network, Recurrent)  # the initial states
            state = next(s for layer in network.layers for s in layer.cell.states if name == f"{s}0{layer.suffix}")
            data[name] = drawn((samples, network.cell.states[state]))
    return params, data
