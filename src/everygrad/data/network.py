"""The network that fits a data set: one input per feature, one output per class or target."""

from collections.abc import Sequence
from typing import Any

from everygrad.data.dataset import DataSet
from everygrad.errors import InputError, unknown_name
from everygrad.networks import GRU, LSTM, Elman, FeedForward, Recurrent
from everygrad.networks.cells import RecurrentCell

CELLS = {"elman": Elman, "lstm": LSTM, "gru": GRU}
"""The recurrent cells that have a name."""

UNITS = 32
"""Units of a recurrent layer, unless another number is asked for."""

EMBEDDED = 16
"""At most so many numbers stand for a token, unless another number is asked for."""


def sizes_for(dataset: DataSet, hidden: Sequence[int] = ()) -> list[int]:
    """[features, *hidden, outputs]; two classes have two outputs, like any other number of classes."""
    return [len(dataset.features), *hidden, dataset.outputs]


def loss_for(dataset: DataSet) -> str:
    """Softmax and cross-entropy for classes (two included), the squared error for a regression."""
    return "squared_error" if dataset.task == "regression" else "softmax_cross_entropy"


def network_for(dataset: DataSet, hidden: Sequence[int] = (), **options: Any) -> FeedForward | Recurrent:
    """A network with these hidden layers; ``options`` go to `FeedForward` (``activation="relu"``).

    For sequences it is that of `recurrent_for`, with as many layers as ``hidden`` has numbers, which are equal.
    """
    if not dataset.sequences:
        loss = options.pop("loss", loss_for(dataset))
        return FeedForward(sizes_for(dataset, hidden), loss=loss, **options)
    if len(set(hidden)) > 1:
        listed = ", ".join(map(str, hidden))
        raise InputError(f"the layers of a recurrent network have the same number of units, got {listed}")
    sizes: dict[str, Any] = {"units": hidden[0], "layers": len(hidden)} if hidden else {}
    return recurrent_for(dataset, **{**sizes, **options})


def recurrent_for(
    dataset: DataSet,
    cell: str | RecurrentCell = "lstm",
    units: int = UNITS,
    activation: str | None = None,
    embedding: int | None = None,
    **options: Any,
) -> Recurrent:
    """A recurrent network that takes what the data have, and is read at each step if the target is per step.

    ``cell``: ``"elman"`` (which has an ``activation``), ``"lstm"`` or ``"gru"`` with so many ``units``, or a cell with
    its own size. ``embedding``: how many numbers stand for a token (by default as many as there are tokens, at most
    `EMBEDDED`). ``options`` go to `Recurrent` (``layers=2``, ``read="mean"``).
    ``eg.train(net, params, **dataset.training)`` gives the network all arrays by name. Raises `InputError` for
    rows of features, an unknown cell, and what does not fit the data.
    """
    if not dataset.sequences:
        raise InputError(
            f"{dataset.name} holds rows of features, a recurrent network takes sequences "
            f"(load(..., sequences=True) reads an .npz file so)"
        )
    tokens = None
    if dataset.vocabulary is not None:
        tokens = (dataset.vocabulary, min(dataset.vocabulary, EMBEDDED) if embedding is None else embedding)
    elif embedding is not None:
        raise InputError(f"embedding={embedding}: {dataset.name} has features at each step, no tokens")
    inputs = len(dataset.features) if tokens is None else tokens[1]
    if isinstance(cell, str):
        if cell not in CELLS:
            raise unknown_name("recurrent cell", cell, CELLS)
        cell = _cell(cell, inputs, units, activation)
    elif cell.inputs != inputs:
        raise InputError(f"the cell takes {cell.inputs} inputs, {dataset.name} has {inputs} at each step")
    counting = "mask" if dataset.mask_train is not None else dataset.lengths_train is not None
    fitting: dict[str, Any] = {
        "read": "each" if dataset.per_step else "last",
        "loss": loss_for(dataset),
        "lengths": counting,
        "embedding": tokens,
        "weighted": dataset.weight_train is not None,
    }
    if dataset.per_step and options.get("read", "each") != "each":
        raise InputError(f"read={options['read']!r}, but the target of {dataset.name} is per step: read='each'")
    return Recurrent(cell, dataset.outputs, **{**fitting, **options})


def _cell(name: str, inputs: int, units: int, activation: str | None) -> RecurrentCell:
    if activation is None:
        return CELLS[name](inputs, units)
    if name != "elman":
        raise InputError(f"activation={activation!r} is for an elman cell: {name} has its own")
    return Elman(inputs, units, activation)
