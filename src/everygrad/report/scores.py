"""How good the predictions of a pass are, without the loss's own scale."""

import numpy as np

from everygrad.backprop import Trace
from everygrad.engines import to_numpy
from everygrad.graph.losses import BinaryCrossEntropy, Loss, SoftmaxCrossEntropy, SquaredError


def scores(trace: Trace, of: str) -> tuple[float | None, float | None]:
    """The accuracy of a classification, the coefficient of determination R² of a regression, else None.

    ``of`` is the loss. What has the weight 0 (the padding of sequences) does not count; a prediction or a target that
    is the same for all samples is not scored.
    """
    by_name = trace.graph.by_name
    node = by_name[of]
    if not isinstance(node.operation, Loss):
        return None, None
    if any(by_name[name].role in ("parameter", "constant") for name in node.inputs[:2]):
        return None, None
    z, t, *weight = (to_numpy(trace[name]) for name in node.inputs)
    count = weight[0] != 0 if weight else np.ones(z.shape[:-1], bool)
    z, t = z[count], t[count]
    if isinstance(node.operation, SoftmaxCrossEntropy):
        labels = t.argmax(-1) if t.ndim == z.ndim else t
        return float((z.argmax(-1) == labels).mean()), None
    if t.size != z.size:
        return None, None
    t = t.reshape(z.shape).astype(np.float64)
    if isinstance(node.operation, BinaryCrossEntropy):
        return float(((z > 0) == (t > 0.5)).mean()), None
    if not isinstance(node.operation, SquaredError):
        return None, None
    spread = float(np.square(t - t.mean(0)).sum())
    return None, 1.0 - float(np.square(z - t).sum()) / spread if spread else None
