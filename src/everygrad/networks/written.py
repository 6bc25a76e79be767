"""A network's passes written out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from everygrad.backprop import source
from everygrad.engines import Array
from everygrad.graph import Graph, Operation, Shape
from everygrad.graph.losses import SoftmaxCrossEntropy


class Written(ABC):
    """A network that can write its passes as a Python function."""

    @property
    @abstractmethod
    def graph(self) -> Graph:
        """The network as a graph."""

    @property
    @abstractmethod
    def shapes(self) -> Mapping[str, Shape]:
        """Parameter name -> shape."""

    @abstractmethod
    def init(self, seed: int, dtype: Any = np.float64) -> dict[str, Array]:
        """Random parameters."""

    @abstractmethod
    def example(self, samples: int, steps: int) -> list[Array]:
        """Data of the right shapes, as many arrays as the network takes, all zeros and full length."""

    def source(
        self,
        *data: Array,
        params: Mapping[str, Array] | None = None,
        samples: int = 32,
        steps: int = 10,
        **named: Array,
    ) -> str:
        """The forward and the backward pass as a Python function that stands on NumPy alone (see `source`).

        Written for the shapes and dtypes of ``data`` and ``params``; without data for so many ``samples`` and
        ``steps``, without parameters for those of ``init``.
        """
        arrays = data if data or named else self.example(samples, steps)
        floats = [a.dtype for a in (*arrays, *named.values()) if getattr(a, "dtype", np.dtype(int)).kind == "f"]
        given = self.init(0, floats[0] if floats else np.float64) if params is None else params
        return source(self, given, *arrays, **named)


def target_example(loss: Operation, lead: tuple[int, ...], outputs: int) -> Array:
    """Labels 0 for softmax and cross-entropy, else zeros, one for each of the ``lead`` places."""
    return np.zeros(lead, np.int64) if isinstance(loss, SoftmaxCrossEntropy) else np.zeros((*lead, outputs))
