"""What the derivations are held against: the complex step through a program of plain NumPy, written from the equations.

A program is a function of ``see``, through which every quantity goes under its name, and returns the loss:

    def program(see):
        a = see("a", W @ see("x", x))
        return see("h", np.tanh(a)).sum()

`complex_step` adds iε to one entry of one quantity and takes Im L/ε: exact to rounding, since nothing is subtracted.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from everygrad.checks.tolerance import assert_close

STEP = 1e-30
See = Callable[[str, Any], np.ndarray]
Program = Callable[[See], Any]


def values(program: Program) -> dict[str, np.ndarray]:
    """Every quantity of the program by name, and its loss under "loss"."""
    found: dict[str, np.ndarray] = {}

    def see(name: str, value: Any) -> np.ndarray:
        found[name] = np.asarray(value)
        return found[name]

    found["loss"] = np.asarray(program(see))
    return found


def complex_step(program: Program, name: str) -> np.ndarray:
    """∂L/∂v of the quantity ``name``, entry by entry."""
    shape = values(program)[name].shape
    found = np.zeros(shape)
    for entry in np.ndindex(shape):

        def see(key: str, value: Any, entry: tuple[int, ...] = entry) -> np.ndarray:
            value = np.array(value, dtype=complex)
            if key == name:
                value[entry] += 1j * STEP
            return value

        found[entry] = np.imag(program(see)) / STEP
    return found


def compare(program: Program, gradients: Mapping[str, Any]) -> None:
    """Print one row for each kind of quantity (``h[0]``, ``h[1]``, ... are one); raise if one is wrong."""
    rows: dict[str, list[tuple[int, float]]] = {}
    for name, gradient in gradients.items():
        error = assert_close(np.asarray(gradient), complex_step(program, name), name=name)
        rows.setdefault(name.partition("[")[0], []).append((np.size(gradient), error))
    print(f"{'gradient':<10}{'entries':>8}{'largest error':>16}")
    for kind, row in rows.items():
        print(f"∇{kind:<9}{sum(size for size, _ in row):>8}{max(error for _, error in row):>16.1e}")
