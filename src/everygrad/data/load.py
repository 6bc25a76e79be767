"""One verb: a name or a file in, two standardised parts out."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from everygrad.data.builtin import BUILT_IN, read_builtin
from everygrad.data.csvfile import read_csv
from everygrad.data.dataset import DataSet
from everygrad.data.npzfile import read_npz
from everygrad.data.raw import MAX_BYTES, Raw
from everygrad.data.scaling import Scaling, standardise
from everygrad.data.split import split
from everygrad.data.target import labels_of, require_all, task_of
from everygrad.errors import InputError, unknown_name
from everygrad.networks.initialise import float_dtype, generator


def load(
    spec: object,
    *,
    seed: int | np.random.Generator = 0,
    test_fraction: float | int = 0.2,
    target: str | int | None = None,
    task: str | None = None,
    dtype: Any = np.float64,
    header: bool | None = None,
    max_bytes: int = MAX_BYTES,
) -> DataSet:
    """A data set, shuffled, split and standardised: ``load("digits")``, ``load("flowers.csv", target="species")``.

    ``spec`` is one of `BUILT_IN` (they come with scikit-learn), or the path of a file:

    - ``.csv`` (or ``.tsv``, ``.txt``): numbers separated by comma, semicolon or tab, UTF-8. The first line is a header
      if it holds names (``header`` overrides); without one the columns are ``column1``, ``column2``, ... The target
      is the last column, or ``target`` (a name, or a position counted from 0). The target may be text;
    - ``.npz``: arrays ``x`` (rows, features) and ``y``, or split already ``x_train``, ``y_train``, ``x_test``,
      ``y_test``, in either case of letters; ``target`` names another array for ``y``. Further axes of x
      become features. ``classes`` and ``features`` may hold names; other arrays are not read.

    The rows are shuffled by ``seed`` and ``test_fraction`` of them held out, of each class its share. Then the
    mean and the standard deviation of the *training* part are used to scale both parts, so that nothing
    leaks from the held-out rows: x ← (x − mean) / std, features that never change become 0, and so do regression
    targets. The pixels of ``digits`` are divided by 16 instead.

    Whole numbers as a target with at most 20 distinct values, each there twice on average, are classes;
    text is always classes, numbers with a decimal point always a regression; ``task`` ("classification", "binary",
    "regression") overrides. Nothing is unpickled, and a file above ``max_bytes`` is not read.

    Raises `FileFormatError` for what is wrong in a file (line, column and value), `NonFiniteError` if that is NaN
    or infinity only, `InputError` for arguments, a target with one value only, and a class with no sample to train on.
    """
    if not 0 <= test_fraction < 1:
        raise InputError(f"test_fraction must be in [0, 1), got {test_fraction}: 0.2 holds one fifth of the rows out")
    raw = _read(spec, target, header, max_bytes)
    return _prepare(raw, task, generator(seed), float(test_fraction), float_dtype(dtype))


def _read(spec: object, target: str | int | None, header: bool | None, max_bytes: int) -> Raw:
    if isinstance(spec, str) and spec in BUILT_IN:
        if target is not None:
            raise InputError(f"the data set {spec!r} has its own target: leave out target={target!r}")
        return read_builtin(spec)
    if not isinstance(spec, str | os.PathLike) or not str(spec):
        raise InputError(f"data must be one of {', '.join(BUILT_IN)}, or the path of a .csv or .npz file, got {spec!r}")
    path = Path(spec)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return read_npz(path, target, max_bytes)
    if suffix in (".csv", ".tsv", ".txt"):
        return read_csv(path, target, header, max_bytes)
    if not suffix and not path.exists():
        raise unknown_name("data set", str(spec), [*BUILT_IN, "FILE.csv", "FILE.npz"])
    raise InputError(f"{str(spec)!r}: files of data end in .csv or .npz, this one in {suffix or 'nothing'!r}")


def _prepare(raw: Raw, task: str | None, rng: np.random.Generator, test_fraction: float, dtype: np.dtype) -> DataSet:
    """The split and the scaling: the same for every source."""
    x, y = raw.x, raw.y
    if raw.test is not None:
        x, y = np.concatenate([x, raw.test[0]]), np.concatenate([y, raw.test[1]])
    found = task_of(y, task, raw.target)
    labels, classes = None, ()
    if found != "regression":
        labels, classes = labels_of(y, raw.classes, raw.target)
    if raw.test is None:
        train, test = split(labels, len(x), test_fraction, rng)
    else:
        train, test = np.arange(len(raw.x)), np.arange(len(raw.x), len(x))
    if labels is not None:
        require_all(labels[train], classes)
    scaling = _uniform(raw.divisor, x.shape[1]) if raw.divisor else standardise(x[train])
    scaled = _narrow(scaling.apply(x), dtype, raw.features)
    target_scaling = None
    if labels is None:
        values = y.astype(np.float64).reshape(len(y), -1)
        target_scaling = standardise(values[train])
        values = _narrow(target_scaling.apply(values), dtype, (raw.target,) * values.shape[1])
    else:
        values = labels
    return DataSet(
        name=raw.name,
        task=found,
        x_train=scaled[train],
        y_train=values[train],
        x_test=scaled[test],
        y_test=values[test],
        classes=classes,
        features=raw.features,
        target=raw.target,
        source=raw.source,
        scaling=scaling,
        target_scaling=target_scaling,
    )


def _uniform(divisor: float, columns: int) -> Scaling:
    return Scaling(np.zeros(columns), np.full(columns, divisor))


def _narrow(values: np.ndarray, dtype: np.dtype, names: tuple[str, ...]) -> np.ndarray:
    with np.errstate(over="ignore"):
        narrow = values.astype(dtype)
    if not np.isfinite(narrow).all():
        column = names[int(np.argwhere(~np.isfinite(narrow))[0, 1])]
        raise InputError(f"{column!r} spans too large a range for {dtype}: take its logarithm, or leave it out")
    return narrow
