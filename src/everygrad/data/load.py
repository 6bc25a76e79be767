"""One verb: a name or a file in, two standardised parts out."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from everygrad.data.builtin import BUILT_IN, SEQUENCES
from everygrad.data.csvfile import read_csv
from everygrad.data.dataset import DataSet
from everygrad.data.npzfile import read_npz
from everygrad.data.prepare import prepare
from everygrad.data.raw import MAX_BYTES, Raw
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
    sequences: bool | None = None,
    header: bool | None = None,
    max_bytes: int = MAX_BYTES,
) -> DataSet:
    """A data set, shuffled, split and standardised: ``load("digits")``, ``load("flowers.csv", target="species")``.

    ``spec`` is one of `BUILT_IN` (they come with scikit-learn and, ``gunpoint`` and ``sunspots``, with other
    packages), or the path of a file:

    - ``.csv`` (or ``.tsv``, ``.txt``): numbers separated by comma, semicolon or tab, UTF-8. The first line is a header
      if it holds names (``header`` overrides); without one the columns are ``column1``, ``column2``, ... The target
      is the last column, or ``target`` (a name, or a position counted from 0). The target may be text;
    - ``.npz``: arrays ``x`` (rows, features) and ``y``, or split already ``x_train``, ``y_train``, ``x_test``,
      ``y_test``, in either case of letters; ``target`` names another array for ``y``. Further axes of x
      become features. ``classes`` and ``features`` may hold names; other arrays are not read;
    - ``.npz`` of sequences: ``x`` (rows, time, features), or (rows, time): whole numbers from 0 on are tokens, others
      one feature. ``y`` has one value for each row, or for each step: (rows, time), or (rows, time, outputs). Of
      rows of different length either ``lengths`` (rows,) or ``mask`` (rows, time) says which steps count; the others
      may hold anything. ``weight`` is (rows,), or (rows, time) if y is per step. ``sequences=True``
      reads a file so, False does not; None does for x of three axes, or two of tokens, with ``lengths``, ``mask``
      or a y per step that is not to be mistaken for a regression's (rows, outputs).

    The rows are shuffled by ``seed`` and ``test_fraction`` of them held out, of each class its share. Then the
    mean and the standard deviation of the *training* part are used to scale both parts, so that nothing
    leaks from the held-out rows: x ← (x − mean) / std, features that never change become 0, and so do regression
    targets. The pixels of ``digits`` are divided by 16 instead. Of sequences all steps that count have one mean
    and one deviation per feature. ``sunspots`` is not shuffled: its last years are held out.

    Whole numbers as a target with at most 20 distinct values, each there twice on average, are classes;
    text is always classes, numbers with a decimal point always a regression; ``task`` ("classification", "binary",
    "regression") overrides. Nothing is unpickled, and a file above ``max_bytes`` is not read.

    Raises `FileFormatError` for what is wrong in a file (line, column and value), `NonFiniteError` if that is NaN
    or infinity only, `InputError` for arguments, a target with one value only, and a class with no sample to train on.
    """
    if not 0 <= test_fraction < 1:
        raise InputError(f"test_fraction must be in [0, 1), got {test_fraction}: 0.2 holds one fifth of the rows out")
    raw = _read(spec, target, header, sequences, max_bytes)
    return prepare(raw, task, generator(seed), float(test_fraction), float_dtype(dtype))


def _read(spec: object, target: str | int | None, header: bool | None, sequences: bool | None, max_bytes: int) -> Raw:
    if isinstance(spec, str) and spec in BUILT_IN:
        if target is not None:
            raise InputError(f"the data set {spec!r} has its own target: leave out target={target!r}")
        return _as_asked(BUILT_IN[spec](spec), sequences)
    if not isinstance(spec, str | os.PathLike) or not str(spec):
        raise InputError(f"data must be one of {', '.join(BUILT_IN)}, or the path of a .csv or .npz file, got {spec!r}")
    path = Path(spec)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return read_npz(path, target, sequences, max_bytes)
    if suffix in (".csv", ".tsv", ".txt"):
        return _as_asked(read_csv(path, target, header, max_bytes), sequences)
    if not suffix and not path.exists():
        raise unknown_name("data set", str(spec), [*BUILT_IN, "FILE.csv", "FILE.npz"])
    raise InputError(f"{str(spec)!r}: files of data end in .csv or .npz, this one in {suffix or 'nothing'!r}")


def _as_asked(raw: Raw, sequences: bool | None) -> Raw:
    """What can be read in one way only, if it is what was asked for."""
    if sequences is None or sequences == (raw.steps is not None):
        return raw
    wanted, came = ("sequences", "rows of features") if sequences else ("rows of features", "sequences")
    others = [name for name in BUILT_IN if (name in SEQUENCES) == sequences]
    raise InputError(f"{raw.name} has {came}, not {wanted}: take {', '.join(others)}, or an .npz file")
