"""Two verbs and two frozen records: forward -> Trace, backward(Trace) -> Gradients."""

from everygrad.backprop.backward import backward, contributions
from everygrad.backprop.both import gradients
from everygrad.backprop.compiled import compiled
from everygrad.backprop.forward import Network, evaluate, forward, graph_of
from everygrad.backprop.gradients import Gradients
from everygrad.backprop.jacobian import jacobian, jacobian_of
from everygrad.backprop.straight import source
from everygrad.backprop.trace import Trace

__all__ = [
    "Gradients",
    "Network",
    "Trace",
    "backward",
    "compiled",
    "contributions",
    "evaluate",
    "forward",
    "gradients",
    "graph_of",
    "jacobian",
    "jacobian_of",
    "source",
]
