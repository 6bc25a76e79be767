"""Which quantities and gradients are shown unit by unit and sample by sample, and which of their units and samples."""

import math

import numpy as np

from everygrad.backprop import Gradients
from everygrad.diagnose.flow import layers
from everygrad.engines import to_numpy
from everygrad.graph import Node
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.losses import Loss
from everygrad.report.cells import largest
from everygrad.report.picture import both_ends, formula
from everygrad.report.record import HeatMap

MOST_MAPS = 16
MOST_UNITS = 48
MOST_SAMPLES = 96


def heat_maps(gradients: Gradients) -> tuple[tuple[HeatMap, ...], int]:
    """The maps of a, h, ∇a and ∇h of each layer and of the input, and how many there would be if all were shown.

    Units and samples are taken at equal distances if there are many; the samples are ordered by class if
    the targets are class labels.
    """
    nodes = worth_a_map(gradients)
    labels = _labels(gradients)
    return tuple(_heat_map(gradients, node, labels) for node in both_ends(nodes, MOST_MAPS)), len(nodes)


def worth_a_map(gradients: Gradients) -> list[Node]:
    """The quantities of each sample that are looked at unit by unit: the input, a and h of each layer."""
    trace = gradients.trace
    loss = trace.graph.by_name[gradients.of]
    per_sample = [n for n in trace.nodes if n.lead == 1 and n.name in gradients.arrays and n.name != gradients.of]
    # the prediction, what the activations join, the layers of weights, and the data that enter them
    wanted = {*layers(gradients), *(loss.inputs[:1] if isinstance(loss.operation, Loss) else ())}
    for node in per_sample:
        if isinstance(node.operation, Elementwise):
            wanted |= {node.name, node.inputs[0]}
        given = node.operation is None
        users = [trace.graph.by_name[name].operation for name, _ in trace.graph.consumers[node.name]]
        if given and not all(isinstance(user, Loss) for user in users):
            wanted.add(node.name)
    return [node for node in per_sample if node.name in wanted]


def _labels(gradients: Gradients) -> np.ndarray | None:
    """The class of each sample, if there are classes."""
    loss = gradients.trace.graph.by_name[gradients.of]
    if not isinstance(loss.operation, Loss):
        return None
    target = to_numpy(gradients.trace[loss.inputs[1]])
    return target if target.ndim == 1 and target.dtype.kind in "iu" else None


def _heat_map(gradients: Gradients, node: Node, labels: np.ndarray | None) -> HeatMap:
    g, value = (to_numpy(x) for x in (gradients[node.name], gradients.trace[node.name]))
    units = math.prod(g.shape[node.lead :])
    g, value = g.astype(np.float64).reshape(-1, units), value.reshape(-1, units)
    samples = len(g)
    by_class = labels is not None and len(labels) == samples
    order = np.argsort(labels, kind="stable") if by_class else np.arange(samples)
    columns, rows = order[spaced(samples, MOST_SAMPLES)], spaced(units, MOST_UNITS)
    magnitude = np.abs(g)
    with np.errstate(all="ignore"):
        mean = magnitude.mean(0)[rows]
        value_mean = value.mean(0, dtype=np.float64)[rows]
    shown = value[np.ix_(columns, rows)].T.astype(np.float64)
    peak_at = magnitude[:, rows].argmax(0)
    return HeatMap(
        name=node.name,
        formula=formula(gradients, node),
        units=units,
        samples=samples,
        order="class" if by_class else "sample",
        rows=tuple(map(int, rows)),
        columns=tuple(map(int, columns)),
        values=g[np.ix_(columns, rows)].T,
        largest=float(magnitude.max()),
        mean=mean,
        peak=magnitude[peak_at, rows],
        peak_at=peak_at,
        value=shown,
        value_largest=largest(shown),
        value_mean=value_mean,
    )


def spaced(count: int, most: int) -> np.ndarray:
    """At most so many indices below ``count``, at equal distances."""
    return np.arange(count) if count <= most else np.arange(most) * count // most
