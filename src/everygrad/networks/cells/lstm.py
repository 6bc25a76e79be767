"""Long short-term memory."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from everygrad.errors import all_mismatches
from everygrad.graph import Shape, ops
from everygrad.networks.arguments import count_problems, is_count
from everygrad.networks.cells.base import RecurrentCell, gate_shapes
from everygrad.networks.initialise import Scheme

GATES = ("i", "f", "g", "o")


@final
@dataclass(frozen=True)
class LSTM(RecurrentCell):
    """Two states, h and c, and four gates (Hochreiter & Schmidhuber 1997; Gers et al. 2000; ``torch.nn.LSTM``).

    ::

        a_i = U_i x_k + b_i + W_i h_{k−1}    i = σ(a_i)         c_k = f ⊙ c_{k−1} + i ⊙ g
        a_f = U_f x_k + b_f + W_f h_{k−1}    f = σ(a_f)         h_k = o ⊙ tanh(c_k)
        a_g = U_g x_k + b_g + W_g h_{k−1}    g = tanh(a_g)
        a_o = U_o x_k + b_o + W_o h_{k−1}    o = σ(a_o)         with a projection: m = o ⊙ tanh(c_k), h_k = R m

    ``projection``: the size of h, smaller than that of c (``proj_size`` in torch; Sak et al. 2014). Parameters of each
    gate: U (units, inputs), W (units, size of h), b (units,) unless ``bias=False``; R (projection, units).
    ``forget_bias``: what b_f is initialised to; 1 keeps the memory open at the beginning (Jozefowicz et al. 2015).
    """

    projection: int | None = None
    bias: bool = True
    forget_bias: float = 1.0

    def __post_init__(self) -> None:
        problems = count_problems(inputs=self.inputs, units=self.units)
        if self.projection is not None:
            problems += count_problems(projection=self.projection)
            if is_count(self.projection) and is_count(self.units) and self.projection >= self.units:
                problems.append(f"projection={self.projection} must be smaller than the number of units, {self.units}")
        if not isinstance(self.forget_bias, int | float | np.floating) or not np.isfinite(self.forget_bias):
            problems.append(f"forget_bias={self.forget_bias!r}: expected a finite number")
        all_mismatches("LSTM", problems)

    def step(self, x: Any, states: Any, p: Any) -> Any:
        h, c = states
        a_i, a_f, a_g, a_o = (self._affine(gate, x, h, p) for gate in GATES)
        i, f, g, o = ops.sigmoid(a_i), ops.sigmoid(a_f), ops.tanh(a_g), ops.sigmoid(a_o)
        c = f * c + i * g
        m = o * ops.tanh(c)
        return (m if self.projection is None else p.R @ m), c

    def _affine(self, gate: str, x: Any, h: Any, p: Any) -> Any:
        from_input = p[f"U_{gate}"] @ x
        return (from_input + p[f"b_{gate}"] if self.bias else from_input) + p[f"W_{gate}"] @ h

    @property
    def states(self) -> Mapping[str, int]:
        return {"h": self.projection or self.units, "c": self.units}

    @property
    def shapes(self) -> Mapping[str, Shape]:
        shapes = gate_shapes(GATES, self.units, self.inputs, self.output, self.bias)
        return shapes if self.projection is None else {**shapes, "R": (self.projection, self.units)}

    def with_inputs(self, inputs: int) -> "LSTM":
        return replace(self, inputs=inputs)

    def init(self, rng: np.random.Generator, scheme: Scheme = "glorot") -> dict[str, np.ndarray]:
        """As for every cell, but b_f, which is ``forget_bias``."""
        params = super().init(rng, scheme)
        if self.bias:
            params["b_f"] = np.full(self.units, float(self.forget_bias))
        return params

    def __str__(self) -> str:
        return f"LSTM {self.inputs}-{self.units}" + (f", projected to {self.projection}" if self.projection else "")
