"""Feed-forward networks: h_0 = x, a_i = W_i h_{i−1} + b_i, h_i = g(a_i), and a loss on the last a."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, final

import numpy as np

from everygrad.engines import Array
from everygrad.errors import InputError, all_mismatches
from everygrad.graph import Graph, Operation, Shape
from everygrad.graph.affine import Affine
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.symbol import Builder
from everygrad.networks.arguments import Activation, activation_of, is_count, loss_of
from everygrad.networks.initialise import Scheme, float_dtype, generator, scheme_for, weight_matrix
from everygrad.networks.written import Written, target_example


@final
@dataclass(frozen=True, init=False)
class FeedForward(Written):
    """A feed-forward network of any depth: ``FeedForward([64, 32, 16, 10], activation="tanh")``.

    ``sizes`` are inputs, hidden layers, outputs. ``activation`` is one name or `Elementwise` for all
    hidden layers, or one for each. ``loss`` is a name or a loss operation with its own reduction;
    softmax and cross-entropy by default. ``output`` is an activation on the last layer (none by
    default: losses take logits). ``weighted=True`` adds sample weights as a third data array.

    Quantities: ``h0`` (also ``x``), ``a1``, ``h1``, ..., ``aL`` (``hL`` with an output activation),
    ``y``, ``loss``; parameters ``W1`` (out, in), ``b1`` (out,), ... Raises `InputError` with every
    problem: fewer than two sizes, zero units, a wrong number of activations, an unknown name.
    """

    sizes: tuple[int, ...]
    activations: tuple[Elementwise, ...]
    loss: Operation
    output: Elementwise
    bias: bool
    weighted: bool

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Activation | Sequence[Activation] = "tanh",
        loss: str | Operation = "softmax_cross_entropy",
        output: Activation = "identity",
        bias: bool = True,
        weighted: bool = False,
    ) -> None:
        checked = _sizes(sizes)
        hidden = len(checked) - 2
        if not isinstance(activation, str | Elementwise | Sequence):
            raise InputError(f"activation must be a name, an Elementwise or a list of them, got {activation!r}")
        several = not isinstance(activation, str | Elementwise)
        each = list(activation) if several else [activation] * hidden  # type: ignore[arg-type]
        if len(each) != hidden:
            raise InputError(f"{len(each)} activations for {hidden} hidden layers: give one for all, or one for each")
        fields = {
            "sizes": checked,
            "activations": tuple(activation_of(a) for a in each),
            "loss": loss_of(loss),
            "output": activation_of(output),
            "bias": bool(bias),
            "weighted": bool(weighted),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @property
    def depth(self) -> int:
        """L, the number of layers of weights."""
        return len(self.sizes) - 1

    @property
    def prediction(self) -> str:
        """The quantity that the loss compares with the target: ``aL``, or ``hL``."""
        return f"a{self.depth}" if self.output.name == "identity" else f"h{self.depth}"

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Parameter name -> shape."""
        shapes: dict[str, Shape] = {}
        for i, (fan_in, fan_out) in enumerate(zip(self.sizes, self.sizes[1:], strict=False), start=1):
            shapes[f"W{i}"] = (fan_out, fan_in)
            if self.bias:
                shapes[f"b{i}"] = (fan_out,)
        return MappingProxyType(shapes)

    @cached_property
    def graph(self) -> Graph:
        """The network as a graph of named quantities."""
        builder = Builder()
        h = builder.given("h0", "data")
        y = builder.given("y", "data")
        weight = [builder.given("weight", "data")] if self.weighted else []
        for i in range(1, self.depth + 1):
            W = builder.given(f"W{i}", "parameter")
            b = [builder.given(f"b{i}", "parameter")] if self.bias else []
            h = builder.apply(Affine(), h, W, *b, name=f"a{i}")
            g = self.activations[i - 1] if i < self.depth else self.output
            if i < self.depth or g.name != "identity":
                h = builder.apply(g, h, name=f"h{i}")
        loss = builder.apply(self.loss, h, y, *weight, name="loss")
        return builder.graph(loss, {"x": "h0"})

    def init(
        self, seed: int | np.random.Generator, dtype: Any = np.float64, scheme: Scheme | None = None
    ) -> dict[str, Array]:
        """Random parameters: weights by ``scheme`` (by default the one that suits the activation), biases zero.

        The same seed gives the same numbers in both dtypes, rounded. See `weight_matrix` for the schemes.
        """
        rng, dtype = generator(seed), float_dtype(dtype)
        params: dict[str, Array] = {}
        for i, (fan_in, fan_out) in enumerate(zip(self.sizes, self.sizes[1:], strict=False), start=1):
            g = self.activations[i - 1] if i < self.depth else self.output
            params[f"W{i}"] = weight_matrix(rng, fan_out, fan_in, scheme or scheme_for(g), g).astype(dtype)
            if self.bias:
                params[f"b{i}"] = np.zeros(fan_out, dtype)
        return params

    def example(self, samples: int, steps: int) -> list[Array]:
        """Zeros of the right shapes: x, y and, if there are, the weights."""
        y = target_example(self.loss, (samples,), self.sizes[-1])
        return [np.zeros((samples, self.sizes[0])), y, *([np.ones(samples)] if self.weighted else [])]

    def __str__(self) -> str:
        names = [a.name for a in self.activations]
        text = names[0] if names and len(set(names)) == 1 else ", ".join(names) or "no hidden layer"
        count = sum(int(np.prod(s)) for s in self.shapes.values())
        return f"FeedForward {'-'.join(map(str, self.sizes))}, {text}, {self.loss.name}, {count:,} parameters"


def _sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    if isinstance(sizes, str | bytes) or not isinstance(sizes, Sequence | np.ndarray) or len(sizes) < 2:
        raise InputError(f"sizes must list inputs, hidden layers and outputs, like [64, 32, 10], got {sizes!r}")
    problems = []
    for i, n in enumerate(sizes):
        if not is_count(n):
            where = "inputs" if i == 0 else "outputs" if i == len(sizes) - 1 else f"hidden layer {i}"
            problems.append(f"{where}: {n!r} units, expected a whole number of at least 1")
    all_mismatches("sizes", problems)
    return tuple(int(n) for n in sizes)
