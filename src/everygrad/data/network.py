"""The network that fits a data set: one input per feature, one output per class or target."""

from collections.abc import Sequence
from typing import Any

from everygrad.data.dataset import DataSet
from everygrad.networks import FeedForward


def sizes_for(dataset: DataSet, hidden: Sequence[int] = ()) -> list[int]:
    """[features, *hidden, outputs]; two classes have two outputs, like any other number of classes."""
    return [len(dataset.features), *hidden, dataset.outputs]


def loss_for(dataset: DataSet) -> str:
    """Softmax and cross-entropy for classes (two included), the squared error for a regression."""
    return "squared_error" if dataset.task == "regression" else "softmax_cross_entropy"


def network_for(dataset: DataSet, hidden: Sequence[int] = (), **options: Any) -> FeedForward:
    """A feed-forward network with these hidden layers; ``options`` go to `FeedForward` (``activation="relu"``)."""
    loss = options.pop("loss", loss_for(dataset))
    return FeedForward(sizes_for(dataset, hidden), loss=loss, **options)
