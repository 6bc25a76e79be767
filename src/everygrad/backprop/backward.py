"""The second verb: the gradient of every quantity, in one sweep over the trace (rule 1)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np

from everygrad.backprop.collect import collect, pulled
from everygrad.backprop.direct import Direct
from everygrad.backprop.finite import all_finite, complain
from everygrad.backprop.gradients import Gradients
from everygrad.backprop.scans import Family, sent, sweep
from everygrad.backprop.trace import Trace
from everygrad.engines import Array
from everygrad.engines.arrays import detached, is_floating
from everygrad.engines.compiled.threads import running
from everygrad.engines.pool import using
from everygrad.errors import InputError
from everygrad.graph.time import Sweep


def backward(trace: Trace, of: str | None = None, seed: Array | None = None, check_finite: bool = True) -> Gradients:
    """∂L/∂v for every quantity v of the trace, L being ``of`` (by default the graph's output).

    Rule 1: ∂L/∂v = Σ_u (∂u/∂v)ᵀ ∂L/∂u over the consumers u of v. Gradients have the shapes of their
    quantities; those of parameters are summed over the samples. If L is not one number (or one per
    sample, whose sum is then differentiated), ``seed`` gives ∂/∂L, an array like L. Calling it twice
    gives the same answer: nothing is accumulated. Cost: one local derivative and one product for each
    edge of the graph; two matrix products for each layer.
    """
    graph, kind = trace.graph, trace.kind
    start = graph.output if of is None else graph.resolve(of)
    L = trace[start]
    if seed is None:
        if L.ndim != graph.by_name[start].lead:
            raise InputError(
                f"{start!r} is not one number but has shape {tuple(L.shape)}: "
                f"give seed=, an array of that shape, or differentiate a loss"
            )
        seed = kind.ones(tuple(L.shape))
    elif tuple(seed.shape) != tuple(L.shape) or seed.dtype != L.dtype:
        raise InputError(
            f"seed has shape {tuple(seed.shape)} and dtype {seed.dtype}, "
            f"must be like {start!r}: {tuple(L.shape)}, {L.dtype}"
        )
    found = {start: detached(seed)}
    sweeps: dict[str, Sweep] = {}
    arrived: dict[str, dict[str, Array]] = {}

    def through(family: Family) -> Iterable[tuple[str, Array]]:
        here = {node.name: found[node.name] for node in family.nodes if node.name in found}
        if not here:
            return ()
        arrived[family.label] = here
        sweeps[family.label], shown = sweep(family, trace.runs[family.label], here)
        found.update(shown)
        return sent(family, sweeps[family.label])

    # whatever is not finite is reported below, with its name
    with np.errstate(all="ignore"), using(trace.plan.pool), running(trace.engine):
        collect(trace, found, through)
        gradient = {}
        for node in trace.nodes:
            if node.name in found:
                gradient[node.name] = found[node.name]
            elif node.role in ("data", "parameter") and is_floating(trace.arrays[node.name]):
                gradient[node.name] = kind.zeros(tuple(trace.arrays[node.name].shape))
        if check_finite:
            ends = [n.name for n in trace.nodes if n.operation is None and n.name in gradient]
            if not all(all_finite(gradient[name]) for name in ends):
                order = [n.name for n in reversed(trace.nodes) if n.name in gradient]
                leads = {n.name: n.lead for n in trace.nodes}
                complain(gradient, order, "all values are finite, but the gradient of", leads)
    arrays = MappingProxyType(gradient)
    return Gradients(trace, start, arrays, MappingProxyType(sweeps), Direct(trace, arrays, arrived))


def contributions(gradients: Gradients, name: str) -> Mapping[str, Array]:
    """The terms of rule 1 for one quantity: consumer -> (∂u/∂v)ᵀ ∂L/∂u. They add up to its gradient.

    A consumer that uses the quantity more than once appears once for each use (``h2``, ``h2 (2)``).
    Raises `UnknownNameError`, or `InputError` for a quantity without a gradient.
    """
    trace = gradients.trace
    name = trace.graph.resolve(name)
    gradients[name]  # raises if there is none
    terms: dict[str, Array] = {}
    uses: Counter[str] = Counter()
    for family in trace.plan.scans:
        parts = sent(family, gradients.sweeps[family.label]) if family.label in gradients.sweeps else ()
        for read, term in parts:
            if read == name:
                user = f"scan {family.label}"
                uses[user] += 1
                terms[f"{user} ({uses[user]})" if uses[user] > 1 else user] = term
    for user, edges in reversed(trace.plan.sweep):
        for edge in edges:
            if edge.name == name and user in gradients.arrays and trace.differentiable(edge.node, edge.slot):
                uses[user] += 1
                key = f"{user} ({uses[user]})" if uses[user] > 1 else user
                terms[key] = pulled(trace, edge, gradients.arrays[user])
    return MappingProxyType(terms)
