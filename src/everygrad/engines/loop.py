"""A loop over time: straight-line code for NumPy arrays, Python's own loop for torch, ``lax.scan`` for JAX."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

import array_api_compat
import numpy as np

from everygrad.engines.arrays import Array, namespace

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
    before: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Arrays, Arrays]:
    """Carry something through ``steps`` steps: ``carry, y_t = body(carry, x_t, shared)``, with x_t = xs[t].

    ``xs`` have time as their first axis; so have the results, the second of which stacks the y_t by t.
    ``reverse`` goes from the last step to the first. ``before``: names of y, with what is carried whose first value
    stands in front of them; they have one row more. With JAX arrays the body is traced once, whatever
    the number of steps; with NumPy arrays and ``reuse`` it is recorded once and runs as straight-line code, and
    so it does with torch tensors on the CPU, whose memory NumPy can read; otherwise, and if it looks at numbers,
    it is called for each step.
    """
    sample = next(iter(carry.values()))
    if hasattr(sample, "recorder"):
        from everygrad.engines.program.loops import inside

        return inside(sample.recorder, body, carry, xs, steps, reverse, shared, before)
    found = None
    if reuse is not None and steps >= WORTH_RECORDING:
        if type(sample) is np.ndarray:
            from everygrad.engines.program.loops import run

            found = run(body, carry, xs, steps, reverse, shared, reuse, before)
        elif array_api_compat.is_torch_array(sample):
            found = _by_views(body, carry, xs, steps, reverse, shared, reuse, before)
    if found is not None:
        return found
    if array_api_compat.is_jax_array(sample):
        import jax

        last, kept = jax.lax.scan(lambda c, x: body(c, x, dict(shared)), carry, xs, length=steps, reverse=reverse)
    else:
        last, kept = _step_by_step(body, carry, xs, steps, reverse, dict(shared))
    for name, carried in before.items():
        xp = namespace(kept[name])
        kept[name] = xp.concat([carry[carried][None], kept[name]], axis=0)
    return last, kept


def _step_by_step(
    body: Body, carry: Arrays, xs: Arrays, steps: int, reverse: bool, shared: Arrays
) -> tuple[Arrays, Arrays]:
    kept: dict[str, list[Array]] = {}
    names, arrays = tuple(xs), tuple(xs.values())
    for t in reversed(range(steps)) if reverse else range(steps):
        carry, y = body(carry, {name: array[t] for name, array in zip(names, arrays, strict=True)}, shared)
        for name, value in y.items():
            kept.setdefault(name, []).append(value)
    found = {}
    for name in list(kept):
        each = kept.pop(name)
        found[name] = namespace(each[0]).stack(each[::-1] if reverse else each, axis=0)
    return carry, found


def _by_views(
    body: Body,
    carry: Arrays,
    xs: Arrays,
    steps: int,
    reverse: bool,
    shared: Mapping[str, Array],
    reuse: Reuse,
    before: Mapping[str, str],
) -> tuple[Arrays, Arrays] | None:
    """The loop over torch tensors as one over NumPy arrays that share their memory, or None where that cannot be."""
    import torch

    from everygrad.engines.program.loops import run

    everything = (*carry.values(), *xs.values(), *shared.values())
    if not all(type(t) is torch.Tensor and t.device.type == "cpu" and not t.requires_grad for t in everything):
        return None
    try:
        views = [{name: tensor.numpy() for name, tensor in part.items()} for part in (carry, xs, shared)]
    except (RuntimeError, TypeError):  # bfloat16, tensors of torch's own transformations, what torch.compile traces
        return None
    found = run(body, views[0], views[1], steps, reverse, views[2], reuse, before)
    if found is None:
        return None
    last, kept = ({name: torch.from_numpy(array) for name, array in part.items()} for part in found)
    return last, kept
