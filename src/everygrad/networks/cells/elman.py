"""The Elman network: one state, one matrix."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

from everygrad.errors import all_mismatches
from everygrad.graph import Shape, ops
from everygrad.networks.arguments import Activation, activation_of, count_problems
from everygrad.networks.cells.base import RecurrentCell


@final
@dataclass(frozen=True)
class Elman(RecurrentCell):
    """a_k = U x_k + b + W h_{k−1},  h_k = g(a_k)  (Elman 1990; ``torch.nn.RNN``).

    ``activation``: the name of any elementwise g. Parameters U (units, inputs), W (units, units), b (units,) unless
    ``bias=False``. Quantities a, h. Raises `InputError` for sizes below 1 or an unknown activation.
    """

    activation: Activation = "tanh"
    bias: bool = True

    def __post_init__(self) -> None:
        all_mismatches("Elman", count_problems(inputs=self.inputs, units=self.units))
        object.__setattr__(self, "activation", activation_of(self.activation))

    def step(self, x: Any, states: Any, p: Any) -> Any:
        a = p.U @ x + p.b if self.bias else p.U @ x
        a = a + p.W @ states.h
        return ops.apply(activation_of(self.activation), a)

    @property
    def states(self) -> Mapping[str, int]:
        return {"h": self.units}

    @property
    def shapes(self) -> Mapping[str, Shape]:
        n = self.units
        return {"U": (n, self.inputs), **({"b": (n,)} if self.bias else {}), "W": (n, n)}

    def with_inputs(self, inputs: int) -> "Elman":
        return replace(self, inputs=inputs)

    def __str__(self) -> str:
        g = activation_of(self.activation)
        return f"Elman {self.inputs}-{self.units}, {g.name}"
