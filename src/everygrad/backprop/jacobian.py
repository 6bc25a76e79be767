"""∂v/∂u between any two quantities: products along each path, summed over the paths, structured."""

import math
from collections.abc import Mapping

import numpy as np

from everygrad.backprop.backward import backward
from everygrad.backprop.forward import Network, forward
from everygrad.backprop.trace import Trace
from everygrad.engines import Array
from everygrad.errors import InputError, UnsupportedError
from everygrad.graph import Graph
from everygrad.graph.accumulate import accumulated
from everygrad.graph.operation import feature_shape
from everygrad.graph.time import Scan
from everygrad.jacobians import Dense, Identity, Jacobian, Row, Zero


def jacobian(
    network: Graph | Network, params: Mapping[str, Array], *data: Array, of: str, wrt: str, **named: Array
) -> Jacobian:
    """∂of/∂wrt for each sample, structured: ``eg.jacobian(net, params, x, of="a3", wrt="h2")``.

    Only the data that ``of`` depends on are needed. The result has the samples as leading axes,
    ``J[out, in]``, or ``J[out, row, col]`` for a weight, where it is a `Weight` in factored form;
    ``.dense()`` makes an array of it. If ``of`` is one number for all samples (a reduced loss), the
    Jacobian with respect to a quantity of each sample has that sample's row; with respect to a
    parameter it is the gradient. Cost: one forward pass to ``of`` and one product for each edge
    between the two. If steps are joined on the way (a recurrence, a mean over time), the time counts as
    an axis of the quantities' own, the result is `Dense` (a `Row` for a loss), (batch, out, time, in)
    with ``.dense()``, and costs one backward pass for each number that ``of`` has in a sample. Raises
    `UnknownNameError` with the nearest name, and `UnsupportedError` if samples are mixed on the way,
    or if steps are and ``wrt`` is a parameter.
    """
    return jacobian_of(forward(network, params, *data, of=of, **named), of, wrt)


def jacobian_of(trace: Trace, of: str, wrt: str) -> Jacobian:
    """∂of/∂wrt at the values of a trace; see `jacobian`."""
    graph = trace.graph
    of, wrt = graph.resolve(of), graph.resolve(wrt)
    end, start = graph.by_name[of], graph.by_name[wrt]
    out_shape = feature_shape(trace[of], end.lead)
    path = graph.between(wrt, of)
    if _inside_a_scan(trace, wrt, of):
        return _swept(trace, of, wrt)
    if not path:
        given = trace.arrays.get(wrt)
        if given is None:
            raise InputError(f"{of!r} does not depend on {wrt!r}: the Jacobian is zero, and {wrt!r} has no value here")
        return Zero(trace.kind, out_shape, feature_shape(given, start.lead))
    _refuse_mixing(graph, path, of, wrt)
    if _joins_steps(graph, path, wrt):
        return _swept(trace, of, wrt)
    found = accumulated(
        trace.nodes,
        {of: Identity(trace.kind, out_shape)},
        wrt,
        path,
        trace.local,
        trace.differentiable,
        lambda node, slot, term: _summed(trace, term) if end.lead == 0 and node.leads[slot] == 0 else term,
    )
    if found is None:
        raise InputError(f"{wrt!r} holds whole numbers: there is no derivative with respect to it")
    return found


def _summed(trace: Trace, term: Jacobian) -> Jacobian:
    """The sum over the samples, of a number or of a few: one pull for each component."""
    if not term.batch:
        return term
    if term.out_size == 1:
        g = trace.kind.ones(term.out_shape)
        return Row(term.pull(g, total=True), len(term.in_shape), term.out_shape)
    xp = trace.kind.xp
    basis = trace.kind.eye(term.out_size)
    rows = [term.pull(xp.reshape(basis[p], term.out_shape), total=True) for p in range(term.out_size)]
    return Dense(xp.stack([xp.reshape(r, (-1,)) for r in rows]), term.out_shape, term.in_shape)


def _inside_a_scan(trace: Trace, wrt: str, of: str) -> bool:
    """Whether ``wrt`` is inside a recurrence that ``of`` depends on or belongs to: the graph has no edges there."""
    for family in trace.plan.scans:
        names = [node.name for node in family.nodes]
        if wrt in names:
            return any(trace.graph.between(name, of) for name in names)
    return False


def _joins_steps(graph: Graph, path: frozenset[str], wrt: str) -> bool:
    """Whether there is a recurrence on the path, or behind other operations a read-out of several steps."""
    for name in path:
        node = graph.by_name[name]
        if isinstance(node.operation, Scan) and name != wrt:
            return True
        if node.lead and any(
            lead > node.lead and i in path - {wrt} for i, lead in zip(node.inputs, node.leads, strict=True)
        ):
            return True
    return False


def _swept(trace: Trace, of: str, wrt: str) -> Jacobian:
    """One backward pass for each component of ``of``, in all samples at once: samples do not meet."""
    graph, kind, xp = trace.graph, trace.kind, trace.kind.xp
    samples = min(graph.by_name[of].lead, 1)
    features = tuple(trace[of].shape[samples:])
    if not samples and not features:
        g = backward(trace, of)[wrt]
        return Row(g, g.ndim - min(graph.by_name[wrt].lead, 1), ())
    if graph.by_name[wrt].lead == 0:
        raise UnsupportedError(
            f"the steps between the parameter {wrt!r} and {of!r} are joined: its Jacobian would be as large as "
            f"{of!r} times {wrt!r} for each sample. everygrad.through_time has the derivative of each step, "
            f"eg.unroll(net, params, x, y) the Jacobian of one step as a sum over the others"
        )
    size = math.prod(features)
    rows = []
    for p in range(size):
        unit = xp.reshape(kind.asarray(np.arange(size) == p), features)
        rows.append(backward(trace, of, xp.broadcast_to(unit, trace[of].shape))[wrt])
    inside = tuple(rows[0].shape[1:])
    flat = [xp.reshape(row, (row.shape[0], math.prod(inside))) for row in rows]
    return Dense(xp.stack(flat, axis=1), features, inside)


def _refuse_mixing(graph: Graph, path: frozenset[str], of: str, wrt: str) -> None:
    """A number for all samples between two quantities of single samples mixes the samples."""
    if graph.by_name[of].lead == 0:
        return
    seen_samples = False
    for node in graph.nodes:
        if node.name in path:
            if node.lead == 0 and seen_samples:
                raise UnsupportedError(
                    f"the path from {wrt!r} to {of!r} goes through {node.name!r}, which mixes all samples: "
                    f"there is no Jacobian per sample"
                )
            seen_samples = seen_samples or node.lead > 0
