"""The gated recurrent unit."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, final

from everygrad.errors import all_mismatches
from everygrad.graph import Shape, ops
from everygrad.networks.arguments import count_problems
from everygrad.networks.cells.base import RecurrentCell, gate_shapes

GATES = ("r", "z", "n")


@final
@dataclass(frozen=True)
class GRU(RecurrentCell):
    """One state and three gates (Cho et al. 2014; ``torch.nn.GRU``).

    ::

        a_r = U_r x_k + b_r + W_r h_{k−1}                        r = σ(a_r)
        a_z = U_z x_k + b_z + W_z h_{k−1}                        z = σ(a_z)
        a_n = U_n x_k + b_n + r ⊙ (W_n h_{k−1} + b_hn)           n = tanh(a_n)        reset="after", as in torch
        a_n = U_n x_k + b_n + W_n (r ⊙ h_{k−1})                                       reset="before", as published
        h_k = (1 − z) ⊙ n + z ⊙ h_{k−1}

    Parameters of each gate: U (units, inputs), W (units, units), b (units,); b_hn (units,) if the reset comes after the
    product. ``bias=False`` leaves out all of b. (torch keeps two biases for r and z, of which only the sum counts.)
    """

    reset: Literal["after", "before"] = "after"
    bias: bool = True

    def __post_init__(self) -> None:
        problems = count_problems(inputs=self.inputs, units=self.units)
        if self.reset not in ("after", "before"):
            problems.append(f"reset={self.reset!r}: expected 'after' or 'before' the product with W_n")
        all_mismatches("GRU", problems)

    def step(self, x: Any, states: Any, p: Any) -> Any:
        h = states.h
        a_r, a_z = (self._from_input(gate, x, p) + p[f"W_{gate}"] @ h for gate in ("r", "z"))
        r, z = ops.sigmoid(a_r), ops.sigmoid(a_z)
        if self.reset == "after":
            a_n = self._from_input("n", x, p) + r * (p.W_n @ h + p.b_hn if self.bias else p.W_n @ h)
        else:
            a_n = self._from_input("n", x, p) + p.W_n @ (r * h)
        n = ops.tanh(a_n)
        return (1 - z) * n + z * h

    def _from_input(self, gate: str, x: Any, p: Any) -> Any:
        return p[f"U_{gate}"] @ x + p[f"b_{gate}"] if self.bias else p[f"U_{gate}"] @ x

    @property
    def states(self) -> Mapping[str, int]:
        return {"h": self.units}

    @property
    def shapes(self) -> Mapping[str, Shape]:
        n = self.units
        shapes = gate_shapes(GATES, n, self.inputs, n, self.bias)
        return {**shapes, "b_hn": (n,)} if self.bias and self.reset == "after" else shapes

    def with_inputs(self, inputs: int) -> "GRU":
        return replace(self, inputs=inputs)

    def __str__(self) -> str:
        return f"GRU {self.inputs}-{self.units}, reset {self.reset}"
