"""The data sets that scikit-learn brings along, and the names of all that are built in; nothing is downloaded."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from everygrad.data.raw import Raw, Steps
from everygrad.data.series import read_gunpoint, read_sunspots
from everygrad.errors import InputError

SKLEARN = {
    "digits": "load_digits",
    "wine": "load_wine",
    "breast-cancer": "load_breast_cancer",
    "diabetes": "load_diabetes",
}
"""name -> the function of ``sklearn.datasets`` that has it."""

DIGITS_LARGEST = 16.0
"""The pixels of digits count 0 to 16: divided by 16 they all keep one scale, which standardising would undo."""

SIDE = 8
"""An image of digits has 8 rows of 8 pixels."""


def _read_sklearn(name: str) -> Raw:
    bunch, version = _load(name)
    is_regression = name == "diabetes"
    classes = None if is_regression else tuple(str(c) for c in bunch.target_names)
    return Raw(
        name=name,
        source=f"scikit-learn {version}, sklearn.datasets.{SKLEARN[name]}",
        x=np.asarray(bunch.data, dtype=np.float64),
        y=np.asarray(bunch.target, dtype=np.float64 if is_regression else np.int64),
        features=tuple(str(f) for f in bunch.feature_names),
        target="disease progression" if is_regression else "class",
        classes=classes,
        divisor=DIGITS_LARGEST if name == "digits" else None,
    )


def _read_digits(name: str) -> Raw:
    """The digits as sequences: 64 steps of one pixel, row after row, or 8 steps of one row."""
    bunch, version = _load("digits")
    by_pixel = name == "digits-pixels"
    x = np.asarray(bunch.data, dtype=np.float64).reshape(len(bunch.data), -1, 1 if by_pixel else SIDE)
    return Raw(
        name=name,
        source=f"scikit-learn {version}, sklearn.datasets.{SKLEARN['digits']}",
        x=x,
        y=np.asarray(bunch.target, dtype=np.int64),
        features=("pixel",) if by_pixel else tuple(f"column_{i}" for i in range(SIDE)),
        target="class",
        classes=tuple(str(c) for c in bunch.target_names),
        divisor=DIGITS_LARGEST,
        steps=Steps(np.ones(x.shape[:2], dtype=bool)),
    )


def _load(name: str) -> tuple[Any, str]:
    try:
        import sklearn
        import sklearn.datasets
    except ImportError as missing:
        raise InputError(
            f"the data set {name!r} comes with scikit-learn, which is not installed: "
            f"pip install 'everygrad[sklearn]', or give a .csv or .npz file"
        ) from missing
    return getattr(sklearn.datasets, SKLEARN[name])(), sklearn.__version__


SEQUENCES: Mapping[str, Callable[[str], Raw]] = MappingProxyType(
    {"digits-pixels": _read_digits, "digits-rows": _read_digits, "gunpoint": read_gunpoint, "sunspots": read_sunspots}
)

BUILT_IN: Mapping[str, Callable[[str], Raw]] = MappingProxyType({**dict.fromkeys(SKLEARN, _read_sklearn), **SEQUENCES})
"""name -> what reads it; raises `InputError` with the command to type if the package it comes with is missing."""
