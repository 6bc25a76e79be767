"""Rows of features from NumPy archives; `everygrad.data.npzsequences` has what is read of sequences."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from everygrad.data.archive import Archive, check_finite, check_parts, plain
from everygrad.data.npzsequences import looks_like_sequences, sequences_of
from everygrad.data.raw import Problems, Raw
from everygrad.errors import EverygradError, FileFormatError, InputError, unknown_name
from everygrad.storage import read_limited

SPLIT = ("x_train", "y_train", "x_test", "y_test")
NEEDED = "an .npz file of data needs x and y, or x_train, y_train, x_test and y_test"


def read_npz(path: Path, target: str | int | None, sequences: bool | None, max_bytes: int) -> Raw:
    """The rows of an archive; see `everygrad.data.load` for the names of its arrays."""
    content = read_limited(path, max_bytes)
    if not content.startswith(b"PK"):
        raise FileFormatError(f"{path} is not an .npz file (a zip archive of arrays): write it with numpy.savez")
    if isinstance(target, int):
        raise InputError(f"target={target}: the target of an .npz file is an array, give its name")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _raw(path, Archive(path, archive, max_bytes), target, sequences)
    except EverygradError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise many kinds for a damaged archive
        raise FileFormatError(f"{path} is damaged: {error or type(error).__name__}") from None


def _raw(path: Path, archive: Archive, target: str | None, sequences: bool | None) -> Raw:
    is_split = "x_train" in archive
    needed = SPLIT if is_split else ("x", "y" if target is None else target.lower())
    if target is not None and (is_split or needed[1] not in archive):
        raise unknown_name("target array", target, SPLIT if is_split else archive.entries)
    missing = [name for name in needed if name not in archive]
    if missing:
        found = ", ".join(map(repr, sorted(archive.entries)[:20])) or "nothing"
        raise FileFormatError(f"{path}: {', '.join(map(repr, missing))} is missing, found {found}: {NEEDED}")
    arrays = {name: archive.read(name) for name in needed}
    if sequences or (sequences is None and looks_like_sequences(arrays[needed[0]], arrays[needed[1]], archive)):
        return sequences_of(path, archive, arrays)
    problems = Problems(str(path))
    for i in range(0, len(needed), 2):
        _check_pair(needed[i], needed[i + 1], arrays, problems)
    check_parts(arrays, problems)
    problems.raise_any()  # what has the wrong shape or dtype cannot be looked at any further
    for name in needed:
        check_finite(name, arrays[name], problems)
    problems.raise_any()
    x = np.concatenate([_rows(arrays[name]) for name in needed[::2]])
    y = np.concatenate([plain(arrays[name]) for name in needed[1::2]])
    return Raw(
        name=path.stem,
        source=path.name,
        x=x,
        y=y,
        features=archive.texts("features", x.shape[1]) or tuple(f"x{i}" for i in range(x.shape[1])),
        target=needed[1],
        classes=archive.texts("classes"),
        trained=len(arrays["x_train"]) if is_split else None,
    )


def _check_pair(x_name: str, y_name: str, arrays: Mapping[str, np.ndarray], problems: Problems) -> None:
    x, y = arrays[x_name], arrays[y_name]
    if x.dtype.kind not in "biuf":
        problems.add(f"{x_name!r} has dtype {x.dtype}, expected real numbers")
    if y.dtype.kind not in "biufU":
        problems.add(f"{y_name!r} has dtype {y.dtype}, expected numbers or text")
    if x.ndim < 2 or not x.size:
        problems.add(f"{x_name!r} has shape {x.shape}, expected (rows, features)")
    if y.ndim not in (1, 2) or not y.size:
        problems.add(f"{y_name!r} has shape {y.shape}, expected (rows,), or (rows, outputs) for a regression")
    if x.ndim and y.ndim and len(x) != len(y):
        problems.add(f"{x_name!r} has {len(x)} rows, {y_name!r} has {len(y)}")


def _rows(x: np.ndarray) -> np.ndarray:
    """(rows, features) in float64: further axes become features, the last one fastest."""
    return np.ascontiguousarray(x.reshape(len(x), -1), dtype=np.float64)
