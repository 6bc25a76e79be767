"""Networks: a graph, the shapes of its parameters, and ways to initialise them."""

from everygrad.networks.cells import GRU, LSTM, Cell, Elman
from everygrad.networks.feedforward import FeedForward
from everygrad.networks.graphnetwork import GraphNetwork
from everygrad.networks.recurrent import Recurrent
from everygrad.networks.unrolling import UnrolledNetwork, unroll

__all__ = ["GRU", "LSTM", "Cell", "Elman", "FeedForward", "GraphNetwork", "Recurrent", "UnrolledNetwork", "unroll"]
