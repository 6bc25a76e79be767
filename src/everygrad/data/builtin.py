"""The four data sets that scikit-learn brings along: real, small, and nothing is downloaded."""

from typing import Any

import numpy as np

from everygrad.data.raw import Raw
from everygrad.errors import InputError

BUILT_IN = {
    "digits": "load_digits",
    "wine": "load_wine",
    "breast-cancer": "load_breast_cancer",
    "diabetes": "load_diabetes",
}
"""name -> the function of ``sklearn.datasets`` that has it."""

DIGITS_LARGEST = 16.0
"""The pixels of digits count 0 to 16: divided by 16 they all keep one scale, which standardising would undo."""


def read_builtin(name: str) -> Raw:
    """One of `BUILT_IN`; raises `InputError` with the command to type if scikit-learn is not installed."""
    bunch, version = _load(name)
    is_regression = name == "diabetes"
    classes = None if is_regression else tuple(str(c) for c in bunch.target_names)
    return Raw(
        name=name,
        source=f"scikit-learn {version}, sklearn.datasets.{BUILT_IN[name]}",
        x=np.asarray(bunch.data, dtype=np.float64),
        y=np.asarray(bunch.target, dtype=np.float64 if is_regression else np.int64),
        features=tuple(str(f) for f in bunch.feature_names),
        target="disease progression" if is_regression else "class",
        classes=classes,
        divisor=DIGITS_LARGEST if name == "digits" else None,
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
    return getattr(sklearn.datasets, BUILT_IN[name])(), sklearn.__version__
