"""Which steps of a sequence count: lengths (batch,) or a boolean mask (batch, time)."""

import numpy as np

from everygrad.engines import Array, is_traced, kind_of, namespace, to_numpy
from everygrad.engines.shapes import Bool
from everygrad.graph.operation import Shape, ShapeProblem, first_where


def kept(counting: Array, steps: int) -> Bool[Array, "batch time"]:
    """Booleans (batch, time): True where the step counts. ``counting`` are lengths, or such a mask itself."""
    xp = namespace(counting)
    if counting.ndim == 2:
        return xp.astype(counting, xp.bool, copy=False)
    return xp.arange(steps, device=kind_of(counting).device) < counting[:, None]


def counting_shape(name: str, shape: Shape, lead: int) -> None:
    """Raise `ShapeProblem` if this is the shape of neither lengths nor a mask."""
    if shape != () or lead not in (1, 2):
        raise ShapeProblem(f"{name}: expected lengths (batch,) or a mask (batch, time), got feature shape {shape}")


def counting_problems(counting: Array, steps: int) -> list[str]:
    """What is wrong with the values of lengths or of a mask."""
    if is_traced(counting):
        return []
    given = to_numpy(counting)
    if given.ndim == 2:
        if given.dtype.kind != "b":
            return [f"a mask must be boolean, True where a step counts; got dtype {given.dtype}: mask.astype(bool)"]
        empty = np.flatnonzero(~given.any(1))
        return [f"sequence {empty[0]} has no step that counts: at least one is needed"] if len(empty) else []
    if given.dtype.kind not in "iu":
        return [f"lengths must be whole numbers, got dtype {given.dtype}: lengths.astype(int)"]
    wrong = (given < 1) | (given > steps)
    if wrong.any():
        value, at = first_where(given, wrong)
        return [f"lengths must be from 1 to {steps}, the number of steps, got {value} at index {at}"]
    return []
