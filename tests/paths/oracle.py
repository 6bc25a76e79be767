"""All paths by definition: every element of every consumer is visited by plain recursion, nothing is left out."""

import math

import numpy as np


def mlp_paths(params, x, label, layer, unit, batch):
    """[(units, product)] from a unit of h_layer to the mean cross-entropy of a tanh network, by its formulas."""
    depth = sum(name.startswith("W") for name in params)
    h, a = {0: x}, {}
    for i in range(1, depth + 1):
        W, b = params[f"W{i}"], params[f"b{i}"]
        a[i] = [sum(W[p, q] * h[i - 1][q] for q in range(W.shape[1])) + b[p] for p in range(W.shape[0])]
        h[i] = [math.tanh(v) for v in a[i]]
    z = [math.exp(v) for v in a[depth]]
    loss = [(v / sum(z) - (c == label)) / batch for c, v in enumerate(z)]

    def extend(i, j):
        W = params[f"W{i + 1}"]
        for p in range(W.shape[0]):
            step = ((f"a{i + 1}", p),)
            if i + 1 == depth:
                yield (*step, ("loss",)), W[p, j] * loss[p]
                continue
            slope = 1 - h[i + 1][p] ** 2
            for units, product in extend(i + 1, p):
                yield (*step, (f"h{i + 1}", p), *units), W[p, j] * slope * product

    start = ((f"h{layer}", unit),)
    return [((*start, *units), product) for units, product in extend(layer, unit)]


def all_paths(trace, start, index, sample, of=None, of_index=0):
    """[(steps, product)] of any graph, steps (name, flat index, sample or None, slot); dense local Jacobians, element
    by element. ``sample``: of the start, or the one by which a parameter's paths must enter the samples, or None."""
    graph = trace.graph
    of = of or graph.output
    batch = next((len(trace[n.name]) for n in trace.nodes if n.lead), 0)
    dense = {}

    def local(name, slot, at):
        if (name, slot) not in dense:
            J = trace.local(graph.by_name[name], slot)
            many = np.asarray(J.dense()).reshape(*J.batch, J.out_size, J.in_size)
            reach = np.asarray(_structure(J)).reshape(J.out_size, J.in_size)
            dense[name, slot] = many, reach, bool(J.batch)
        A, reach, has_batch = dense[name, slot]
        return (A[at if len(A) > 1 else 0] if has_batch else A), reach, has_batch

    def extend(name, q, at, entered):
        if name == of and q == of_index:
            if entered or sample is None or graph.by_name[start].lead:
                yield (), 1.0
            return
        for consumer, slot in graph.consumers[name]:
            node = graph.by_name[consumer]
            if consumer not in trace.arrays or not trace.differentiable(node, slot):
                continue
            batched = bool(trace.local(node, slot).batch)
            if at is not None:
                lanes = [at]
            elif node.lead or batched:
                lanes = range(batch) if sample is None or entered else [sample]
            else:
                lanes = [None]
            for lane in lanes:
                A, reach, _ = local(consumer, slot, lane)
                for p in range(len(A)):
                    if not reach[p, q]:
                        continue
                    there = lane if node.lead else None
                    for steps, product in extend(consumer, p, there, entered or lane is not None):
                        yield ((consumer, p, lane, slot), *steps), A[p, q] * product

    at = sample if graph.by_name[start].lead else None
    return list(extend(start, index, at, at is not None))


def _structure(J):
    """Which elements can be nonzero, from the public interface: the places of the entries of one sample."""
    mask = np.zeros((J.out_size, J.in_size), bool)
    p, q, _ = (J.sample((0,) * len(J.batch)) if J.batch else J).entries()
    mask[p, q] = True
    return mask
