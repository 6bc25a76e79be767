"""The same pass in double precision, and with every number of it changed in its last digit."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from everygrad.backprop import Trace, evaluate
from everygrad.backprop.gradients import norm
from everygrad.checks.reference import Reference
from everygrad.checks.steps import Step
from everygrad.checks.sweep import Sweep
from everygrad.checks.view import View, plain
from everygrad.engines import to_numpy
from everygrad.engines.arrays import NUMPY_FLOAT64
from everygrad.networks.copies import Edge

TRIALS = 2
ASKED_AGAIN = 8
UNCUT: frozenset[Edge] = frozenset()


def in_double(trace: Trace) -> Trace:
    """The pass with NumPy arrays in float64: the given arrays are widened, the rest is computed again."""
    arrays = {name: to_numpy(array) for name, array in trace.arrays.items()}
    if not all(a.dtype == np.float64 or a.dtype.kind not in "fc" for a in arrays.values()):
        given = {n.name: arrays[n.name] for n in trace.nodes if n.operation is None}
        arrays = {name: a.astype(np.float64) if a.dtype.kind == "f" else a for name, a in given.items()}
        with np.errstate(all="ignore"):
            evaluate(trace.nodes, arrays)
    arrays = {name: np.asarray(a) for name, a in arrays.items()}  # NumPy makes scalars of single numbers
    return Trace(trace.graph, trace.plan, MappingProxyType(arrays), NUMPY_FLOAT64)


def rounding(
    seen: View,
    ends: Sequence[str],
    epsilon: float,
    seed: int,
    step: Step | None,
    doubted: Mapping[str, tuple[Reference, np.ndarray]],
) -> dict[str, float]:
    """By how much rounding alone moves a gradient: its distance from one with every number rounded at random.

    Each value of the forward pass and each gradient of the backward pass is multiplied by 1 ± ε at random
    (stochastic arithmetic, Vignes 1993); the largest distance of two trials. For a sum of terms that do
    not cancel this is a few ε of its norm; where they cancel, it is ε of the terms. The oracle rounds too:
    with its ``step``, it is asked again for the entries in which it and the ``doubted`` gradient differ most.
    """
    rng = np.random.default_rng(seed)
    moves = dict.fromkeys(doubted, 0.0)
    cuts = {name: seen.cut.get(plain(name), UNCUT) if name != plain(name) else UNCUT for name in doubted}
    right = {cut: local_gradients(seen.trace, ends, cut=cut) for cut in set(cuts.values())}
    for _ in range(TRIALS):
        values: dict[str, np.ndarray] = {}
        with np.errstate(all="ignore"):
            for node in seen.trace.nodes:
                if node.operation is None:
                    values[node.name] = seen.trace.arrays[node.name]
                else:
                    evaluate((node,), values)
                values[node.name] = _shaken(np.asarray(values[node.name]), epsilon, rng)
            trace = Trace(seen.trace.graph, seen.trace.plan, MappingProxyType(values), seen.trace.kind)
            found = {cut: local_gradients(trace, ends, epsilon, rng, cut) for cut in right}
        for name, (reference, g) in doubted.items():
            cut = cuts[name]
            moved = [norm(seen.joined(name, found[cut]) - seen.joined(name, right[cut]))]
            if step is not None and g.shape == reference.shape and np.isfinite(g).all():
                parts = seen.parts(name)
                shaken = Sweep(trace.graph, values, step, parts, ends, seen.over_time(name), cut=cut)
                moved.append(_of_oracle(shaken, reference, g))
            moves[name] = max(moves[name], *(m for m in moved if np.isfinite(m)))
    return moves


def _of_oracle(shaken: Sweep, reference: Reference, g: np.ndarray) -> float:
    """How far the oracle moves in the entries of the largest difference, as a part of the whole difference."""
    difference = g.reshape(-1)[reference.index] - reference.entries
    worst = np.argsort(-np.abs(difference), kind="stable")[:ASKED_AGAIN]
    moved = norm(shaken.entries(reference.index[worst]) - reference.entries[worst])
    part = norm(difference[worst])
    return moved * norm(difference) / part if part else 0.0


def _shaken(x: np.ndarray, epsilon: float, rng: np.random.Generator | None) -> np.ndarray:
    if rng is None or x.dtype.kind != "f":
        return x
    return np.asarray(x * (1.0 + epsilon * rng.choice((-1.0, 1.0), x.shape)))


def local_gradients(
    trace: Trace,
    ends: Sequence[str],
    epsilon: float = 0.0,
    rng: np.random.Generator | None = None,
    cut: Collection[Edge] = UNCUT,
) -> dict[str, np.ndarray]:
    """Every gradient by the operations' own local derivatives, but along the edges in ``cut``."""
    found = {end: np.ones(trace.arrays[end].shape) for end in ends}
    for node in reversed(trace.nodes):
        if node.name not in found:
            continue
        g = found[node.name] = _shaken(found[node.name], epsilon, rng)
        for name in dict.fromkeys(node.inputs):
            term = pull(trace, name, node.name, g, cut)
            if term is not None:
                found[name] = np.asarray(found[name] + term if name in found else term)
    return found


def pull(trace: Trace, name: str, consumer: str, g: np.ndarray, cut: Collection[Edge] = UNCUT) -> np.ndarray | None:
    """(∂u/∂v)ᵀ ∇_u by the operation's own local derivative, over all uses of v by u; None without a derivative."""
    node, total = trace.graph.by_name[consumer], None
    for slot, used in enumerate(node.inputs):
        if used == name and (consumer, slot) not in cut and trace.differentiable(node, slot):
            term = trace.local(node, slot).pull(g, total=node.leads[slot] == 0)
            total = term if total is None else total + term
    return None if total is None else np.asarray(total)
