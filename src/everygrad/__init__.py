"""Every gradient inside a neural network, exact, in closed form, at the price of one backward pass."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Four functions have the name of the room they live in (derive, graph, paths, train). The rooms are imported
# here first, so that afterwards the function has the name: `eg.paths(...)`. `from everygrad.paths import`
# finds the room all the same.
from everygrad import errors
from everygrad.backprop import Gradients, Trace, backward, compiled, contributions, forward, gradients, jacobian, source
from everygrad.batches import chunks, gradients_of_chunks
from everygrad.derive import derive
from everygrad.graph import Graph, Operation, graph, ops
from everygrad.networks import GRU, LSTM, Cell, Elman, FeedForward, GraphNetwork, Recurrent, unroll
from everygrad.paths import paths
from everygrad.train import train
from everygrad.version import __version__

if TYPE_CHECKING:
    from everygrad import diagnose, report, through_time
    from everygrad.adapters import from_sklearn, from_torch, watch
    from everygrad.checks import check
    from everygrad.files import load, save

__all__ = [
    "GRU",
    "LSTM",
    "Cell",
    "Elman",
    "FeedForward",
    "Gradients",
    "Graph",
    "GraphNetwork",
    "Operation",
    "Recurrent",
    "Trace",
    "__version__",
    "backward",
    "check",
    "chunks",
    "compiled",
    "contributions",
    "derive",
    "diagnose",
    "errors",
    "forward",
    "from_sklearn",
    "from_torch",
    "gradients",
    "gradients_of_chunks",
    "graph",
    "jacobian",
    "load",
    "ops",
    "paths",
    "report",
    "save",
    "source",
    "through_time",
    "train",
    "unroll",
    "watch",
]

_AT_FIRST_USE = {
    "check": "everygrad.checks",
    "diagnose": "everygrad",
    "from_sklearn": "everygrad.adapters",
    "from_torch": "everygrad.adapters",
    "load": "everygrad.files",
    "report": "everygrad",
    "save": "everygrad.files",
    "through_time": "everygrad",
    "watch": "everygrad.adapters",
}
"""Name -> the module it is found in: loaded when first asked for, to keep `import everygrad` quick."""


def __getattr__(name: str) -> Any:
    home = _AT_FIRST_USE.get(name)
    if home is None:
        raise AttributeError(f"module 'everygrad' has no attribute {name!r}")
    return import_module(f"everygrad.{name}") if home == "everygrad" else getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
