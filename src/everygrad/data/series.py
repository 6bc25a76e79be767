"""Sequences that ship inside other packages: their files are read where they lie, the packages are not imported."""

import csv
import importlib.util
import io
import math
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from everygrad.data.raw import MAX_BYTES, Raw, Steps
from everygrad.errors import FileFormatError, InputError
from everygrad.storage import read_limited

WINDOW = 22
"""Years from which the next one is predicted: two cycles of the sun's activity, of about eleven years each."""

GUNPOINT = {
    "sktime": ("datasets", "data", "GunPoint"),
    "aeon": ("datasets", "data", "GunPoint"),
}
"""package -> the folder of the two files, which are the same in both; the first one that is installed is read."""

SUNSPOTS = {"statsmodels": ("datasets", "sunspots")}


def read_gunpoint(name: str) -> Raw:
    """GunPoint of the UCR archive: the horizontal position of a hand in 150 frames of a video, 200 times.

    The actors draw a gun, or point with a finger. Each series has mean 0 and standard deviation 1 in the file, so
    positions have no unit. Training and test part of the archive (50 and 150 series) are put together and
    split anew, as all data here are. Source: Ratanamahatana & Keogh 2005.
    """
    package, folder = _folder(name, GUNPOINT)
    parts = [_read_ts(folder / f"GunPoint_{part}.ts") for part in ("TRAIN", "TEST")]
    x = np.concatenate([values for values, _ in parts])[..., None]
    return Raw(
        name=name,
        source=f"{package} {_version(package)}, GunPoint of the UCR archive",
        x=x,
        y=np.concatenate([labels for _, labels in parts]) - 1,
        features=("position",),
        target="class",
        classes=("gun", "point"),
        steps=Steps(np.ones(x.shape[:2], dtype=bool)),
    )


def read_sunspots(name: str) -> Raw:
    """The mean number of sunspots of each year from 1700 to 2008: from `WINDOW` years the next one.

    Row i has the years i .. i + WINDOW − 1 as steps, and the year i + WINDOW as its target. The last rows are
    held out, so no year that is to be predicted there has been trained on or measured for the scaling.
    Source: the National Geophysical Data Center's yearly table (public domain).
    """
    package, folder = _folder(name, SUNSPOTS)
    values = _read_years(folder / "sunspots.csv")
    windows = np.lib.stride_tricks.sliding_window_view(values[:-1], WINDOW)
    return Raw(
        name=name,
        source=f"{package} {_version(package)}, {package}.datasets.sunspots",
        x=windows[..., None].copy(),
        y=values[WINDOW:].copy(),
        features=("sunspots",),
        target="sunspots of the next year",
        in_order=True,
        steps=Steps(np.ones(windows.shape, dtype=bool)),
    )


def _folder(name: str, places: Mapping[str, tuple[str, ...]]) -> tuple[str, Path]:
    """The first installed package that ships the data set, and the folder inside it. Nothing is imported."""
    for package, inside in places.items():
        found = importlib.util.find_spec(package)
        for root in (found.submodule_search_locations or ()) if found is not None else ():
            folder = Path(root).joinpath(*inside)
            if folder.is_dir():
                return package, folder
    raise InputError(
        f"the data set {name!r} comes with {' or with '.join(places)}, which is not installed: "
        f"pip install 'everygrad[sequences]', or give an .npz file"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a folder on the path, not an installed package
        return "(unknown version)"


def _read_ts(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Values (rows, time) and labels (rows,) of a .ts file: ``v,v,...,v:label`` in each line after ``@data``."""
    content = read_limited(path, MAX_BYTES)
    try:
        lines = content.decode("utf-8").splitlines()
        start = [line.strip().lower() for line in lines].index("@data") + 1
        rows = [line.split(":") for line in lines[start:] if line.strip()]
        values = np.array([[float(cell) for cell in cells.split(",")] for cells, _ in rows])
        labels = np.array([int(label) for _, label in rows], dtype=np.int64)
    except ValueError as error:
        raise FileFormatError(f"{path} is not the file that is expected there: {error}") from None
    if values.ndim != 2 or not np.isfinite(values).all() or set(labels.tolist()) != {1, 2}:
        raise FileFormatError(f"{path} is not the file that is expected there: series of one length, labels 1 and 2")
    return values, labels


def _read_years(path: Path) -> np.ndarray:
    """The second column of a table whose first one counts the years."""
    content = read_limited(path, MAX_BYTES)
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8"))))[1:]
        years = [int(year) for year, _ in rows]
        values = [float(value) for _, value in rows]
    except ValueError as error:
        raise FileFormatError(f"{path} is not the file that is expected there: {error}") from None
    in_sequence = len(years) > WINDOW + 1 and years == list(range(years[0], years[0] + len(years)))
    if not in_sequence or not all(map(math.isfinite, values)):
        raise FileFormatError(f"{path} is not the file that is expected there: a number for each year in sequence")
    return np.array(values)
