"""A loop over time: straight-line code for NumPy arrays, Python's own loop for torch, ``lax.scan`` for JAX."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

import array_api_compat
import numpy as np

from everygrad.engines.arrays import Array, kind_of

Arrays = dict[str, Array]
Body = Callable[[Arrays, Arrays, Arrays], tuple[Arrays, Arrays]]
"""(what is carried, what is given of this step, what is shared by all steps) -> (carried on, kept of this step)."""
WORTH_RECORDING = 4
"""Steps from which on it pays to turn a body into straight-line code first."""


@final
@dataclass(frozen=True, slots=True)
class Reuse:
    """What lets the next call of a loop do without looking at its body again.

    ``memo`` keeps the code under ``key`` and the arrays' names, shapes and dtypes, which together determine what the
    body does.
    """

    memo: dict[Hashable, Any]
    key: Hashable


def scan(
    body: Body,
    carry: Arrays,
    xs: Arrays,
    steps: int,
    reverse: bool = False,
    shared: Mapping[str, Array] = MappingProxyType({}),
    reuse: Reuse | None = None,
    before: Mapping[str, Array] = MappingProxyType({}),
) -> tuple[Arrays, Arrays]:
    """Carry something through ``steps`` steps: ``carry, y_t = body(carry, x_t, shared)``, with x_t = xs[t].

    ``xs`` have time as their first axis; so have the results, the second of which stacks the y_t by t.
    ``reverse`` goes from the last step to the first. ``before``: what to put in front of some of the stacked y, which
    then have one row more. With JAX arrays the body is traced once, whatever
    the number of steps; with NumPy arrays it is recorded once and runs as straight-line code; otherwise,
    and if it looks at numbers, it is called for each step.
    """
    sample = next(iter(carry.values()))
    if array_api_compat.is_jax_array(sample):
        import jax

        last, stacked = jax.lax.scan(lambda c, x: body(c, x, dict(shared)), carry, xs, length=steps, reverse=reverse)
        return last, stacked | {n: jax.numpy.concat([first[None], stacked[n]]) for n, first in before.items()}
    if type(sample) is np.ndarray and steps >= WORTH_RECORDING:
        from everygrad.engines.program.loops import run

        found = run(body, carry, xs, steps, reverse, shared, reuse, before)
        if found is not None:
            return found
    stacked: Arrays = {}
    names, arrays, everywhere = tuple(xs), tuple(xs.values()), dict(shared)
    for t in reversed(range(steps)) if reverse else range(steps):
        carry, y = body(carry, {name: array[t] for name, array in zip(names, arrays, strict=True)}, everywhere)
        if not stacked:
            for name, value in y.items():
                kind = kind_of(value)
                rows = steps + 1 if name in before else steps
                stacked[name] = kind.xp.empty((rows, *value.shape), dtype=kind.dtype, device=kind.device)
        for name, value in y.items():
            stacked[name][t + 1 if name in before else t] = value
    for name, value in before.items():
        stacked[name][0] = value
    return carry, stacked
