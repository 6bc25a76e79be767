"""Every gradient inside a neural network, exact, in closed form, at the price of one backward pass."""

from everygrad.backprop import Gradients, Trace, backward, forward, gradients, jacobian
from everygrad.graph import Graph, graph, ops
from everygrad.networks import FeedForward

__version__ = "0.1.0"

__all__ = [
    "FeedForward",
    "Gradients",
    "Graph",
    "Trace",
    "backward",
    "forward",
    "gradients",
    "graph",
    "jacobian",
    "ops",
]
