"""From rows as they stand in their source to two scaled parts: the same for every source."""

from typing import Any

import numpy as np

from everygrad.data.dataset import DataSet
from everygrad.data.raw import Raw
from everygrad.data.scaling import Scaling, standardise
from everygrad.data.split import split, split_in_order
from everygrad.data.target import labels_of, require_all, task_of
from everygrad.errors import InputError


def prepare(raw: Raw, task: str | None, rng: np.random.Generator, test_fraction: float, dtype: np.dtype) -> DataSet:
    """The split, and the scaling that is measured on the training part; see `everygrad.data.load`."""
    steps = raw.steps
    counted = np.ones(len(raw.x), dtype=bool) if steps is None or not steps.per_step else steps.used
    targets = raw.y[counted]  # one row for each value of the target, in the order of `counted`
    found = task_of(targets, task, raw.target)
    labels, classes = None, ()
    if found != "regression":
        labels, classes = labels_of(targets, raw.classes, raw.target)
    train, test = _parts(raw, labels if counted.ndim == 1 else None, test_fraction, rng)
    trained = _of_rows(train, counted)
    if labels is not None:
        require_all(labels[trained], classes)
    x, scaling = _features(raw, train, dtype)
    target_scaling = None
    if labels is None:
        columns = targets.astype(np.float64).reshape(len(targets), -1)
        target_scaling = standardise(columns[trained])
        values = _narrow(target_scaling.apply(columns), dtype, (raw.target,) * columns.shape[1])
    else:
        values = labels
    y = np.zeros((*counted.shape, *values.shape[1:]), dtype=values.dtype)
    y[counted] = values
    return DataSet(
        name=raw.name,
        task=found,
        x_train=x[train],
        y_train=y[train],
        x_test=x[test],
        y_test=y[test],
        classes=classes,
        features=raw.features,
        target=raw.target,
        source=raw.source,
        scaling=scaling,
        target_scaling=target_scaling,
        **_of_steps(raw, train, test, dtype),
    )


def _parts(
    raw: Raw, labels: np.ndarray | None, test_fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The rows to train on and those held out; a class of rows gives its share, one of steps cannot."""
    rows = len(raw.x)
    if raw.trained is not None:
        return np.arange(raw.trained), np.arange(raw.trained, rows)
    if raw.in_order:
        return split_in_order(rows, test_fraction)
    return split(labels, rows, test_fraction, rng)


def _of_rows(rows: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Which of the counted places are in these rows."""
    inside = np.zeros(len(counted), dtype=bool)
    inside[rows] = True
    return inside[np.nonzero(counted)[0]]


def _features(raw: Raw, train: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, Scaling | None]:
    """x, scaled, and 0 where a step does not count; tokens are what they are."""
    if raw.has_tokens:
        return raw.x, None
    if raw.divisor is not None:
        columns = raw.x.shape[-1]
        scaling = Scaling(np.zeros(columns), np.full(columns, raw.divisor))
    else:
        scaling = standardise(raw.x[train] if raw.steps is None else raw.x[train][raw.steps.used[train]])
    x = _narrow(scaling.apply(raw.x), dtype, raw.features)
    return (x if raw.steps is None else np.where(raw.steps.used[..., None], x, dtype.type(0))), scaling


def _of_steps(raw: Raw, train: np.ndarray, test: np.ndarray, dtype: np.dtype) -> dict[str, Any]:
    """What a data set says about its sequences."""
    steps = raw.steps
    if steps is None:
        return {}
    arrays: dict[str, np.ndarray] = {}
    if steps.given == "lengths":
        arrays["lengths"] = steps.used.sum(axis=1, dtype=np.int64)
    elif steps.given == "mask":
        arrays["mask"] = steps.used
    if steps.weight is not None:
        arrays["weight"] = _narrow(steps.weight[..., None], dtype, ("weight",))[..., 0]
        if not arrays["weight"][train].any():
            raise InputError("all weights of the training part are zero: there is nothing to learn")
    said: dict[str, Any] = {"sequences": True, "per_step": steps.per_step}
    said |= {"vocabulary": int(raw.x.max()) + 1 if raw.has_tokens else None}
    for name, array in arrays.items():
        said |= {f"{name}_train": array[train], f"{name}_test": array[test]}
    return said


def _narrow(values: np.ndarray, dtype: np.dtype, names: tuple[str, ...]) -> np.ndarray:
    with np.errstate(over="ignore"):
        narrow = values.astype(dtype)
    if not np.isfinite(narrow).all():
        column = names[int(np.argwhere(~np.isfinite(narrow))[0, -1])]
        raise InputError(f"{column!r} spans too large a range for {dtype}: take its logarithm, or leave it out")
    return narrow
