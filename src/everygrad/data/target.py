"""What the target is: class labels or numbers, and which names the classes have."""

from collections.abc import Sequence

import numpy as np

from everygrad.data.dataset import Task
from everygrad.errors import InputError, unknown_name

MOST_CLASSES = 20
"""Whole numbers with more distinct values than this are a regression, unless ``task`` says otherwise."""


def task_of(y: np.ndarray, task: str | None, target: str) -> Task:
    """The task that targets of this kind ask for; ``task`` overrides the rule.

    Text is a classification, numbers with a decimal point a regression. Whole numbers are a classification if
    there are at most `MOST_CLASSES` distinct ones and on average at least two rows of each. Two classes make
    it ``"binary"``. Raises `InputError` for a target with one value only.
    """
    if task is not None and task not in ("classification", "binary", "regression"):
        raise unknown_name("task", task, ("classification", "binary", "regression"))
    rows, distinct = len(y), len(np.unique(y, axis=0))
    is_text = y.dtype.kind == "U"
    if task == "regression" and is_text:
        raise InputError(f"the target {target!r} holds text such as {str(y.ravel()[0])!r}: a regression needs numbers")
    if distinct == 1:
        kind = "class" if is_text or task in ("classification", "binary") else "value"
        value = y[0].item() if y.ndim == 1 else y[0].tolist()
        raise InputError(f"the target {target!r} has one {kind} only, {value!r}: there is nothing to learn")
    if task == "regression" or (task is None and y.dtype.kind == "f"):
        return "regression"
    if y.ndim == 2:
        raise InputError(
            f"the target {target!r} has shape {y.shape}: class labels are one per row (of one-hot rows take "
            f"y.argmax(1)); task='regression' if each column is a number to predict"
        )
    several = distinct <= rows / 2
    if task is None and is_text and not several:
        raise InputError(
            f"the target {target!r} has {distinct} distinct texts in {rows} rows, which are hardly classes: "
            f"say which column is the target, or task='classification'"
        )
    if task is None and not (is_text or (several and distinct <= MOST_CLASSES)):
        return "regression"
    if task == "binary" and distinct != 2:
        raise InputError(f"the target {target!r} has {distinct} classes, a binary task has 2: task='classification'")
    return "binary" if distinct == 2 else "classification"


def labels_of(y: np.ndarray, names: Sequence[str] | None, target: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels 0..K−1 (int64) and the names of the K classes, sorted; or the labels as they are, for given names.

    Raises `InputError` for numbers that are not whole, and for labels that the names do not cover.
    """
    if y.dtype.kind == "f":
        if (y != np.floor(y)).any():
            at = int(np.flatnonzero(y != np.floor(y))[0])
            raise InputError(f"the target {target!r} holds {y[at]}: class labels are whole numbers or text")
        y = np.array([int(v) for v in y])  # 3.0 is class "3"
    if names is None:
        values, labels = np.unique(y, return_inverse=True)
        return labels.astype(np.int64), tuple(str(v) for v in values.tolist())
    if y.dtype.kind not in "iub" or y.min() < 0 or y.max() >= len(names):
        raise InputError(
            f"{len(names)} class names are given, so {target!r} must hold whole numbers in [0, {len(names)})"
        )
    return y.astype(np.int64), tuple(names)


def require_all(labels: np.ndarray, classes: Sequence[str]) -> None:
    """Raise `InputError` with the name of each class that has no sample to train on."""
    counts = np.bincount(labels, minlength=len(classes))
    absent = [name for name, count in zip(classes, counts, strict=True) if not count]
    if absent:
        listed = ", ".join(map(repr, absent[:10])) + (", ..." if len(absent) > 10 else "")
        plural = "classes have" if len(absent) > 1 else "class has"
        raise InputError(f"{len(absent)} {plural} no sample to train on: {listed}. Add samples or leave the class out")
