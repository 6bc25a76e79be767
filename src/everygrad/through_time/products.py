"""∂s_t/∂s_k = Π_{j=k+1..t} ∂s_j/∂s_{j−1}, the scale kept apart: T = 5,000 without under- or overflow."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from everygrad.engines import Array
from everygrad.errors import InputError
from everygrad.through_time.scaled import Carried, Scaled
from everygrad.through_time.source import Source, recurrence
from everygrad.through_time.steps import Steps

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""


def state_product(
    source: Source, *rest: Any, layer: str = "l0", t: int | None = None, k: int = -1, progress: Progress | None = None
) -> Scaled:
    """∂s_t/∂s_k = J_t J_{t−1} ⋯ J_{k+1}, of each sample, with the logarithm of its norm beside it.

    Steps count from 0; ``t`` is the last one by default, and k = −1 the initial state, before step 0. Several
    states are stacked (for the LSTM s = [h; c]). Result: mantissa (B, d, d), log_scale (B,). Raises `InputError`
    for steps out of range, `NonFiniteError` naming the step. Cost: t − k pulls of d rows for each sample, 2·d³
    operations for each weight and step; memory of one matrix for each sample.
    """
    steps = Steps(recurrence(source, rest, layer).run)
    t, k = between(steps, t, k)
    carried = Carried(steps, steps.identity(), jointly=True)
    for _ in backward(steps, carried, t, k, progress):
        pass
    return carried.scaled()


def pull_back(
    source: Source,
    *rest: Any,
    g: Array | Mapping[str, Array],
    layer: str = "l0",
    t: int | None = None,
    k: int = -1,
    progress: Progress | None = None,
) -> Scaled:
    """(∂s_t/∂s_k)ᵀ g: what a gradient ``g`` of the state after step t gives for the state after step k.

    ``g`` is (*rows, B, d), of the stacked states, or a dict state -> (*rows, B, n) of all of them. Result: mantissa
    (*rows, B, d), log_scale (*rows, B). No matrix is formed. Cost: t − k pulls, 2·d² operations for each weight.
    """
    steps = Steps(recurrence(source, rest, layer).run)
    t, k = between(steps, t, k)
    carried = Carried(steps, _states(steps, g), jointly=False)
    for _ in backward(steps, carried, t, k, progress):
        pass
    return carried.scaled()


def push_forward(
    source: Source,
    *rest: Any,
    v: Array | Mapping[str, Array],
    layer: str = "l0",
    t: int | None = None,
    k: int = -1,
    progress: Progress | None = None,
) -> Scaled:
    """(∂s_t/∂s_k) v: how the state after step t changes with a change ``v`` of the state after step k.

    Shapes and cost as for `pull_back`.
    """
    steps = Steps(recurrence(source, rest, layer).run)
    t, k = between(steps, t, k)
    carried = Carried(steps, _states(steps, v), jointly=False)
    for j in range(k + 1, t + 1):
        carried.put(steps.push(carried.arrays, j), f"the product of state Jacobians at step {j}")
        if progress:
            progress(j - k, t - k)
    return carried.scaled()


def backward(steps: Steps, carried: Carried, t: int, k: int, progress: Progress | None = None) -> Iterator[int]:
    """Carry back from step t to step k, and pause after each step j = t − 1, ..., k."""
    for j in reversed(range(k + 1, t + 1)):
        carried.put(steps.back(carried.arrays, j), f"the product of state Jacobians at step {j}")
        if progress:
            progress(t - j + 1, t - k)
        yield j - 1


def between(steps: Steps, t: int | None, k: int) -> tuple[int, int]:
    """The two steps, compared with what there is."""
    last = steps.count - 1
    t = last if t is None else t
    if not -1 <= k <= t <= last:
        raise InputError(
            f"t={t}, k={k}: expected −1 <= k <= t <= {last}; steps count from 0, −1 is the initial state "
            f"and {last} the last step"
        )
    return t, k


def _states(steps: Steps, v: Array | Mapping[str, Array]) -> dict[str, Array]:
    """A stacked vector, or one for each state, as states with the samples' axis."""
    if isinstance(v, Mapping):
        missing = [name for name in steps.sizes if name not in v]
        if missing or len(v) != len(steps.sizes):
            raise InputError(f"a state vector has the states {list(steps.sizes)}, got {list(v)}")
        v = steps.join(v)
    states = steps.split(v)
    if v.ndim < 2 or v.shape[-2] != steps.run.batch:
        raise InputError(f"a state vector has shape (*rows, {steps.run.batch}, {steps.size}), got {tuple(v.shape)}")
    return states
