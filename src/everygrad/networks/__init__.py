"""Networks: a graph, the shapes of its parameters, and ways to initialise them."""

from everygrad.networks.feedforward import FeedForward
from everygrad.networks.graphnetwork import GraphNetwork

__all__ = ["FeedForward", "GraphNetwork"]
