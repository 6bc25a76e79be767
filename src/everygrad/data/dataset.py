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
    scaling: Scaling
    target_scaling: Scaling | None = None

    @property
    def rows(self) -> int:
        """The number of rows of both parts together."""
        return len(self.x_train) + len(self.x_test)

    @property
    def outputs(self) -> int:
        """How many outputs a network for these data has: one for each class, or for each target."""
        return len(self.classes) or self.y_train.shape[1]

    def describe(self) -> dict[str, Any]:
        """What a report says about the data; JSON-able."""
        return {
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

    def __str__(self) -> str:
        what = "regression" if self.task == "regression" else f"{len(self.classes)} classes"
        parts = f"{len(self.x_train)} rows to train on, {len(self.x_test)} held out"
        return f"{self.name}: {what}, {len(self.features)} features, {parts} ({self.source})"

    def __repr__(self) -> str:
        return f"DataSet({self})"
