"""Which samples are walked through, and each in words: its target, its prediction, its own loss."""

from collections.abc import Mapping, Sequence

import numpy as np

from everygrad.backprop import Gradients
from everygrad.engines import Array, to_numpy
from everygrad.graph.losses import BinaryCrossEntropy, Loss, SoftmaxCrossEntropy
from everygrad.report.explore_record import ExploredSample
from everygrad.report.words import number


def batch_of(gradients: Gradients) -> int:
    """How many samples there are."""
    trace = gradients.trace
    return next((int(trace.arrays[node.name].shape[0]) for node in trace.nodes if node.lead), 0)


def chosen(gradients: Gradients, most: int) -> np.ndarray:
    """The indices of at most so many samples, at equal distances in the batch, class by class if there are classes."""
    count, read = batch_of(gradients), _read(gradients)
    order = np.arange(count)
    if read is not None and isinstance(_loss(gradients), SoftmaxCrossEntropy):
        order = np.argsort(_classes(to_numpy(read["target"])), kind="stable")
    return np.sort(order[np.linspace(0, count - 1, min(count, most)).round().astype(int)])


def described(gradients: Gradients, rows: np.ndarray, classes: Sequence[str]) -> tuple[ExploredSample, ...]:
    """These samples; ``classes`` are the names of the classes, as far as they are known."""
    losses = _losses(gradients, rows)
    labels, predicted = _words(gradients, rows, classes)
    return tuple(
        ExploredSample(int(row), label, guess, None if losses is None else float(losses[i]))
        for i, (row, label, guess) in enumerate(zip(rows, labels, predicted, strict=True))
    )


def _loss(gradients: Gradients) -> Loss | None:
    operation = gradients.trace.graph.by_name[gradients.of].operation
    return operation if isinstance(operation, Loss) else None


def _read(gradients: Gradients) -> Mapping[str, Array] | None:
    """The prediction and the target, if the loss reads one of each from each sample."""
    trace = gradients.trace
    node = trace.graph.by_name[gradients.of]
    if _loss(gradients) is None or any(trace.graph.by_name[name].lead != 1 for name in node.inputs[:2]):
        return None
    return {"prediction": trace[node.inputs[0]], "target": trace[node.inputs[1]]}


def _classes(t: np.ndarray) -> np.ndarray:
    """The class of each sample, the likeliest one of a distribution."""
    return t.argmax(-1) if t.ndim == 2 else t


def _words(gradients: Gradients, rows: np.ndarray, classes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Target and prediction of each sample: a class, or the number of a network with one output."""
    read, nothing = _read(gradients), [""] * len(rows)
    if read is None:
        return nothing, nothing
    z, t = (to_numpy(read[what])[rows] for what in ("prediction", "target"))
    loss = _loss(gradients)
    if isinstance(loss, SoftmaxCrossEntropy):
        return [_named(c, classes) for c in _classes(t)], [_named(c, classes) for c in z.argmax(-1)]
    if z.shape[1] != 1:
        return nothing, nothing
    z, t = z[:, 0], t.reshape(len(rows))
    if isinstance(loss, BinaryCrossEntropy):
        return [_named(v > 0.5, classes) for v in t], [_named(v > 0, classes) for v in z]
    return [number(float(v)) for v in t], [number(float(v)) for v in z]


def _named(index: int, classes: Sequence[str]) -> str:
    return classes[int(index)] if int(index) < len(classes) else str(int(index))


def _losses(gradients: Gradients, rows: np.ndarray) -> np.ndarray | None:
    """ℓ of each sample; of a sample with several steps the mean over those that count."""
    trace, loss = gradients.trace, _loss(gradients)
    node = trace.graph.by_name[gradients.of]
    if loss is None or not all(trace.graph.by_name[name].lead for name in node.inputs):
        return None
    z, t, *weight = (trace[name][trace.kind.indices(rows)] for name in node.inputs)
    each = to_numpy(loss.per_sample(z, loss.target(z, t, node.leads[1]))).astype(np.float64)
    if each.ndim == 1:
        return each
    counts = to_numpy(weight[0]).astype(np.float64) if weight else np.ones(each.shape)
    return (each * counts).sum(1) / counts.sum(1)
