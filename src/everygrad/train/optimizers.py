"""Optimisers as pure functions: hyper-parameters are frozen, the state is a dict of arrays.

``params, state = optimizer.step(params, grads, state)`` writes to none of its arguments. Arrays may be
NumPy's, torch's or JAX's; their dtype is kept.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, final

import numpy as np

from everygrad.engines import Array, kind_of, namespace
from everygrad.errors import InputError, all_mismatches, unknown_name

Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Optimizer(ABC):
    """A rule that turns gradients into new parameters; a subclass is a frozen dataclass of numbers.

    Raises `InputError` for a learning rate that is not a finite number above zero.
    """

    learning_rate: float

    def __post_init__(self) -> None:
        all_mismatches(type(self).__name__, self.problems())

    def problems(self) -> list[str]:
        """What is wrong with the hyper-parameters."""
        return _above_zero("learning_rate", self.learning_rate)

    @property
    def settings(self) -> dict[str, Any]:
        """The name and every hyper-parameter: what a checkpoint compares."""
        return {"name": type(self).__name__, **asdict(self)}

    @abstractmethod
    def init(self, params: Arrays) -> dict[str, Array]:
        """The state before the first step."""

    @abstractmethod
    def step(self, params: Arrays, grads: Arrays, state: Arrays) -> tuple[dict[str, Array], dict[str, Array]]:
        """The parameters and the state after one step.

        ``grads`` holds a gradient for each parameter, and may hold more: a `Gradients` record will do.
        """


@final
@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent: θ ← θ − η g. No state.

    Source: Robbins & Monro 1951. Cost: one pass over the parameters.
    """

    learning_rate: float = 0.1

    def init(self, params: Arrays) -> dict[str, Array]:
        return {}

    def step(self, params: Arrays, grads: Arrays, state: Arrays) -> tuple[dict[str, Array], dict[str, Array]]:
        return {name: p - self.learning_rate * grads[name] for name, p in params.items()}, {}


@final
@dataclass(frozen=True)
class Momentum(Optimizer):
    """Gradient descent with a velocity: v ← μ v + g, θ ← θ − η v; with ``nesterov``, θ ← θ − η (g + μ v).

    v starts at zero and has no damping, as in torch.optim.SGD and optax.sgd. State: ``velocity.W1``,
    ... Source: Polyak 1964; Sutskever et al. 2013 (Nesterov's form, with the learning rate outside the
    velocity). Raises `InputError` unless 0 ≤ μ < 1.
    """

    learning_rate: float = 0.05
    momentum: float = 0.9
    nesterov: bool = False

    def problems(self) -> list[str]:
        return super().problems() + _below_one("momentum", self.momentum)

    def init(self, params: Arrays) -> dict[str, Array]:
        return {f"velocity.{name}": _zeros_like(p) for name, p in params.items()}

    def step(self, params: Arrays, grads: Arrays, state: Arrays) -> tuple[dict[str, Array], dict[str, Array]]:
        after: dict[str, Array] = {}
        moved: dict[str, Array] = {}
        for name, p in params.items():
            g = grads[name]
            v = self.momentum * state[f"velocity.{name}"] + g
            moved[name] = p - self.learning_rate * (g + self.momentum * v if self.nesterov else v)
            after[f"velocity.{name}"] = v
        return moved, after


@final
@dataclass(frozen=True)
class Adam(Optimizer):
    """Steps of about the learning rate, by the moments of the gradient.

    m ← β₁ m + (1 − β₁) g and v ← β₂ v + (1 − β₂) g², both from zero; the bias of that start is taken
    out at step t: m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ); θ ← θ − η m̂ / (√v̂ + ε).

    State: ``t``, the number of steps made (a 0-d integer array of NumPy), and ``m.W1``, ``v.W1``, ...
    Source: Kingma & Ba 2015, algorithm 1. Raises `InputError` unless 0 ≤ β < 1 and ε > 0.
    """

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def problems(self) -> list[str]:
        betas = _below_one("beta1", self.beta1) + _below_one("beta2", self.beta2)
        return super().problems() + betas + _above_zero("epsilon", self.epsilon)

    def init(self, params: Arrays) -> dict[str, Array]:
        state: dict[str, Array] = {"t": np.asarray(0)}
        for name, p in params.items():
            state[f"m.{name}"] = _zeros_like(p)
            state[f"v.{name}"] = _zeros_like(p)
        return state

    def step(self, params: Arrays, grads: Arrays, state: Arrays) -> tuple[dict[str, Array], dict[str, Array]]:
        t = int(state["t"]) + 1
        rate = self.learning_rate / (1.0 - self.beta1**t)
        unbias = 1.0 / math.sqrt(1.0 - self.beta2**t)
        after: dict[str, Array] = {"t": np.asarray(t)}
        moved: dict[str, Array] = {}
        for name, p in params.items():
            g = grads[name]
            m = self.beta1 * state[f"m.{name}"] + (1.0 - self.beta1) * g
            v = self.beta2 * state[f"v.{name}"] + (1.0 - self.beta2) * (g * g)
            moved[name] = p - rate * m / (unbias * namespace(v).sqrt(v) + self.epsilon)
            after[f"m.{name}"], after[f"v.{name}"] = m, v
        return moved, after


OPTIMIZERS: Mapping[str, type[Optimizer]] = MappingProxyType({"sgd": SGD, "momentum": Momentum, "adam": Adam})
"""The optimisers that have a name."""


def make_optimizer(optimizer: str | Optimizer, learning_rate: float | None) -> Optimizer:
    """An optimiser from its name and, if given, its learning rate; an optimiser is what it is.

    Raises `UnknownNameError` with the nearest name, `InputError` if an optimiser comes with a learning rate.
    """
    if isinstance(optimizer, Optimizer):
        if learning_rate is not None:
            raise InputError(f"learning_rate={learning_rate} beside an optimiser that has its own: leave one out")
        return optimizer
    if optimizer not in OPTIMIZERS:
        raise unknown_name("optimizer", optimizer, OPTIMIZERS)
    kind = OPTIMIZERS[optimizer]
    return kind() if learning_rate is None else kind(learning_rate=learning_rate)  # type: ignore[call-arg]


def _zeros_like(p: Array) -> Array:
    return kind_of(p).zeros(tuple(p.shape))


def _above_zero(name: str, value: float) -> list[str]:
    return [] if math.isfinite(value) and value > 0 else [f"{name} must be a finite number above 0, got {value}"]


def _below_one(name: str, value: float) -> list[str]:
    return [] if 0 <= value < 1 else [f"{name} must be in [0, 1), got {value}"]
