"""The cell of ours that computes what a recurrent module of torch does."""

from functools import cache

from everygrad.adapters.watched.setting import Family, Setting
from everygrad.graph.time import Cell
from everygrad.networks.cells import GRU, LSTM, Elman


def cell_of(setup: Setting) -> Cell:
    """The cell of a module's layers; made once for all that have the same equations, whatever their sizes."""
    return _cell(setup.family, setup.activation, bool(setup.projection), setup.bias)


@cache
def _cell(family: Family, activation: str, projected: bool, bias: bool) -> Cell:
    if family == "LSTM":
        return LSTM(1, 2, projection=1 if projected else None, bias=bias).cell
    return (GRU(1, 1, bias=bias) if family == "GRU" else Elman(1, 1, activation, bias=bias)).cell
