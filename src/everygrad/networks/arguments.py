"""What the constructors of networks take: numbers of units, activations, losses."""

from typing import Any

import numpy as np

from everygrad.errors import InputError
from everygrad.graph import ELEMENTWISE, LOSSES, Operation, operation
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.losses import Loss

Activation = str | Elementwise


def is_count(n: Any) -> bool:
    """Whether ``n`` is a whole number of at least 1."""
    return isinstance(n, int | np.integer) and not isinstance(n, bool) and bool(n >= 1)


def count_problems(**numbers: Any) -> list[str]:
    """Those among the named numbers that are not whole or less than 1."""
    return [f"{what}={n!r}: expected a whole number of at least 1" for what, n in numbers.items() if not is_count(n)]


def activation_of(activation: Activation) -> Elementwise:
    """The elementwise operation of this name, or the operation itself; raises `InputError`."""
    if isinstance(activation, Elementwise):
        return activation
    if not isinstance(activation, str):
        raise InputError(f"an activation is a name or an Elementwise, got {activation!r}")
    found = operation(activation, ELEMENTWISE)
    assert isinstance(found, Elementwise)  # what the table of elementwise operations makes
    return found


def loss_of(loss: str | Operation) -> Loss:
    """The loss of this name, or the operation itself; raises `InputError`."""
    if not isinstance(loss, str | Operation):
        raise InputError(f"loss must be a name or a loss operation, got {loss!r}")
    chosen = loss if isinstance(loss, Operation) else operation(loss, LOSSES)
    if not isinstance(chosen, Loss):
        raise InputError(f"loss must be one of {', '.join(LOSSES)}, got {chosen.name!r}")
    return chosen
