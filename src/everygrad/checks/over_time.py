"""Mistakes that people make with gradients over time: known ones are made on purpose and compared with it."""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from everygrad.checks.faults import Case
from everygrad.checks.tolerance import relative_error
from everygrad.checks.view import View, plain

PARTS_OF_DIRECT = "it is made of direct gradients: what comes through later steps is missing"


def fault_over_time(
    name: str,
    g: np.ndarray,
    right: Mapping[str, np.ndarray],
    direct: Mapping[str, np.ndarray],
    kept: np.ndarray | None,
    match: float,
) -> str | None:
    """The mistake of a whole gradient (batch, time, ...) in words, or None if it is none of those that are known.

    ``right`` and ``direct``: right total and direct gradients by name; ``kept`` (batch, time): which steps count.
    """
    if not np.isfinite(g).all():
        return None
    for text, candidate in _candidates(name, right, direct):
        if candidate.shape == g.shape and candidate.any() and relative_error(g, candidate) <= match:
            return text
    if kept is not None:
        inside = np.where(kept.reshape(*kept.shape, *(1,) * (g.ndim - 2)), g, 0.0)
        if relative_error(inside, right[name]) <= match:
            return "the padding leaks: it must be zero where a sequence has no step"
    return None


def _candidates(
    name: str, right: Mapping[str, np.ndarray], direct: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, np.ndarray]]:
    r = right[name]
    yield "wrong sign", -r
    if name in direct:
        yield "it is the direct gradient: what comes through later steps is missing", direct[name]
    for other, gradient in right.items():
        if other != name:
            yield f"swapped: it is the gradient of {other}", gradient
    zero = np.zeros_like(r[:, :1])
    yield "off by one in time: it is the gradient of the step before", np.concatenate([zero, r[:, :-1]], axis=1)
    yield "off by one in time: it is the gradient of the step after", np.concatenate([r[:, 1:], zero], axis=1)
    yield "off by one in time: it is the gradient of the step before", np.roll(r, 1, axis=1)
    yield "off by one in time: it is the gradient of the step after", np.roll(r, -1, axis=1)
    yield "reversed in time", r[:, ::-1]


def fault_of_sum(case: Case, seen: View) -> str | None:
    """A parameter's gradient, a sum over the steps: with one step alone, or Σ_t ∇a_t v_tᵀ with another v_t.

    That is, with the state after the step in place of the one before it.
    """
    if case.graph.by_name[case.name].lead:
        return None
    for u, term in case.terms.items() if len(case.terms) > 1 else ():
        if case.is_like(term):
            return f"only the part through {u} is in it: the sum over the steps is missing"
    if case.g.ndim != 2:
        return None
    above = [_at_each(case.upstream, seen, u) for u in dict.fromkeys(seen.whole(u) for u in case.terms)]
    for name, a in itertools.product(seen.steps, above):
        v = _at_each(case.values, seen, name)
        if a is None or v is None or (a.shape[-1], v.shape[-1]) != case.g.shape or a.shape[:-1] != v.shape[:-1]:
            continue
        if case.is_like(np.einsum("tbp,tbq->pq", a, v)):
            return f"it was made with {name} of the same step: is the state off by one in time?"
    return None


def _at_each(arrays: Mapping[str, np.ndarray], seen: View, name: str) -> np.ndarray | None:
    """The steps of a quantity, (time, batch, units), if it is a vector at each and all are there."""
    each = [arrays[part] for part in seen.parts(name) if part in arrays and arrays[part].ndim == 2]
    return np.stack(each) if len(each) == len(seen.parts(name)) else None


def direct_fault(
    name: str,
    g: np.ndarray,
    direct: np.ndarray,
    right: Mapping[str, np.ndarray],
    total_is_wrong: bool,
    match: Mapping[str, float],
) -> str:
    """What is wrong with a direct gradient."""
    if plain(name) in right and relative_error(g, right[plain(name)]) <= match[name]:
        return "it is the total gradient: what comes through later steps is in it"
    if total_is_wrong:
        return f"follows from {plain(name)}"
    difference = np.abs(g - direct)
    worst = np.unravel_index(int(difference.argmax()), g.shape)
    return f"[{', '.join(map(str, worst))}] is {g[worst]:.6g}, must be {direct[worst]:.6g}"
