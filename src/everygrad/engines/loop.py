"""A loop over time for any array library: Python's own for NumPy and torch, ``lax.scan`` for JAX."""

from collections.abc import Callable

import array_api_compat

from everygrad.engines.arrays import Array, kind_of

Arrays = dict[str, Array]
Body = Callable[[Arrays, Arrays], tuple[Arrays, Arrays]]


def scan(body: Body, carry: Arrays, xs: Arrays, steps: int, reverse: bool = False) -> tuple[Arrays, Arrays]:
    """Carry something through ``steps`` steps: ``carry, y_t = body(carry, x_t)``, with x_t = xs[t].

    ``xs`` have time as their first axis; so have the results, the second of which stacks the y_t by t.
    ``reverse`` goes from the last step to the first. With JAX arrays the body is traced once, whatever
    the number of steps; otherwise it is called for each.
    """
    sample = next(iter(carry.values()))
    if array_api_compat.is_jax_array(sample):
        import jax

        return jax.lax.scan(body, carry, xs, length=steps, reverse=reverse)
    stacked: Arrays = {}
    names, arrays = tuple(xs), tuple(xs.values())
    for t in reversed(range(steps)) if reverse else range(steps):
        carry, y = body(carry, {name: array[t] for name, array in zip(names, arrays, strict=True)})
        if not stacked:
            for name, value in y.items():
                kind = kind_of(value)
                stacked[name] = kind.xp.empty((steps, *value.shape), dtype=kind.dtype, device=kind.device)
        for name, value in y.items():
            stacked[name][t] = value
    return carry, stacked
