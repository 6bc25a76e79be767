"""The record of a data set: two parts, the names of everything, and the scaling that was applied."""

from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from everygrad.data.scaling import Scaling

Task = Literal["classification", "binary", "regression"]


@final
@dataclass(frozen=True, eq=False)
class DataSet:
    """Rows to train on and rows that are held out.

    - ``task``: ``"classification"`` (three or more classes), ``"binary"`` (two) or ``"regression"``;
    - ``x_train``, ``x_test``: (rows, features), floating point, scaled by ``scaling``, which was measured
      on the training part;
    - ``y_train``, ``y_test``: class labels 0..K−1, int64, shape (rows,), with names in ``classes``; or
      (rows, outputs) for a regression, floating point, scaled by ``target_scaling``
      (``target_scaling.undo(prediction)`` is in the units of the data);
    - ``target``: the name of the target; ``source``: where the rows come from.

    If ``sequences``, each row is a sequence:

    - ``x`` is (rows, time, features); or (rows, time) of tokens 0..vocabulary−1, int64, then without scaling;
    - if ``per_step``, ``y`` is (rows, time), or (rows, time, outputs) for a regression;
    - ``lengths_train``, ``lengths_test``: (rows,), int64: of each row only the first so many steps count. Or
      ``mask_train``, ``mask_test``: (rows, time), bool: which steps count. Without either all do. Where a step does
      not count, x and y are 0;
    - ``weight_train``, ``weight_test``: how much a row counts, (rows,), or a step, (rows, time) if ``per_step``.
    """

    name: str
    task: Task
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...]
    features: tuple[str, ...]
    target: str
    source: str
    scaling: Scaling | None
    target_scaling: Scaling | None = None
    sequences: bool = False
    per_step: bool = False
    vocabulary: int | None = None
    lengths_train: np.ndarray | None = None
    lengths_test: np.ndarray | None = None
    mask_train: np.ndarray | None = None
    mask_test: np.ndarray | None = None
    weight_train: np.ndarray | None = None
    weight_test: np.ndarray | None = None

    @property
    def rows(self) -> int:
        """The number of rows of both parts together."""
        return len(self.x_train) + len(self.x_test)

    @property
    def outputs(self) -> int:
        """How many outputs a network for these data has: one for each class, or for each target."""
        return len(self.classes) or self.y_train.shape[-1]

    @property
    def time(self) -> int | None:
        """T, the number of steps of the longest sequence; None if the rows are no sequences."""
        return self.x_train.shape[1] if self.sequences else None

    @property
    def training(self) -> dict[str, np.ndarray]:
        """All arrays of the training part by name: ``train(net, params, **data.training)``."""
        return _given(self.x_train, self.y_train, self.lengths_train, self.mask_train, self.weight_train)

    @property
    def held_out(self) -> dict[str, np.ndarray]:
        """All arrays of the part that is held out by name: ``eg.forward(net, params, **data.held_out)``."""
        return _given(self.x_test, self.y_test, self.lengths_test, self.mask_test, self.weight_test)

    def describe(self) -> dict[str, Any]:
        """What a report says about the data; JSON-able."""
        described = {
            "name": self.name,
            "task": self.task,
            "source": self.source,
            "target": self.target,
            "classes": list(self.classes),
            "features": list(self.features),
            "rows": self.rows,
            "rows_train": len(self.x_train),
            "rows_test": len(self.x_test),
        }
        if self.sequences:
            described |= {"time": self.time, "vocabulary": self.vocabulary, "per_step": self.per_step}
        return described

    def __str__(self) -> str:
        what = "regression" if self.task == "regression" else f"{len(self.classes)} classes"
        inside = _counted(len(self.features), "feature") if self.vocabulary is None else f"{self.vocabulary:,} tokens"
        if self.sequences:
            some = "up to " if self.lengths_train is not None or self.mask_train is not None else ""
            what += " for each step" if self.per_step else ""
            inside = f"{some}{_counted(self.x_train.shape[1], 'step')} of {inside}"
        parts = f"{len(self.x_train)} rows to train on, {len(self.x_test)} held out"
        return f"{self.name}: {what}, {inside}, {parts} ({self.source})"

    def __repr__(self) -> str:
        return f"DataSet({self})"


def _given(
    x: np.ndarray, y: np.ndarray, lengths: np.ndarray | None, mask: np.ndarray | None, weight: np.ndarray | None
) -> dict[str, np.ndarray]:
    named = {"x": x, "y": y, "lengths": lengths, "mask": mask, "weight": weight}
    return {name: array for name, array in named.items() if array is not None}


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
