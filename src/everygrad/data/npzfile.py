"""NumPy archives, read without pickle and without trusting what they claim about themselves."""

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import final

import numpy as np

from everygrad.data.raw import Problems, Raw
from everygrad.errors import EverygradError, FileFormatError, InputError, unknown_name
from everygrad.storage import read_limited

HEADER_BYTES = 10_000  # of one array: its dtype and its shape
SPLIT = ("x_train", "y_train", "x_test", "y_test")
NEEDED = "an .npz file of data needs x and y, or x_train, y_train, x_test and y_test"


def read_npz(path: Path, target: str | int | None, max_bytes: int) -> Raw:
    """The rows of an archive; see `everygrad.data.load` for the names of its arrays."""
    content = read_limited(path, max_bytes)
    if not content.startswith(b"PK"):
        raise FileFormatError(f"{path} is not an .npz file (a zip archive of arrays): write it with numpy.savez")
    if isinstance(target, int):
        raise InputError(f"target={target}: the target of an .npz file is an array, give its name")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _raw(path, _Archive(path, archive, max_bytes), target)
    except EverygradError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise many kinds for a damaged archive
        raise FileFormatError(f"{path} is damaged: {error or type(error).__name__}") from None


@final
class _Archive:
    """The arrays of an archive by name in lower case; each is read when it is asked for."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, max_bytes: int) -> None:
        self.path = path
        self.archive = archive
        self.left = max_bytes
        self.entries: dict[str, str] = {}
        for entry in archive.namelist():
            name = entry.removesuffix(".npy").lower()
            if name in self.entries:
                raise FileFormatError(f"{path}: two arrays are named {name!r} (large and small letters are the same)")
            self.entries[name] = entry

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def read(self, name: str) -> np.ndarray:
        """One array. Its header is compared with the bytes that are there before anything is allocated."""
        entry = self.entries[name]
        size = self.archive.getinfo(entry).file_size
        self.left -= size
        if self.left < 0:
            raise FileFormatError(f"{self.path}: {name!r} unpacks to {size:,} bytes: raise the limit with max_bytes=")
        content = self.archive.read(entry)
        if not content.startswith(np.lib.format.MAGIC_PREFIX):
            raise FileFormatError(f"{self.path}: {entry!r} is not a NumPy array")
        file = io.BytesIO(content)
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file, max_header_size=HEADER_BYTES)
        if dtype.hasobject:
            raise FileFormatError(
                f"{self.path}: {name!r} holds Python objects, which are not read: use numbers or text"
            )
        needed, there = math.prod(shape) * dtype.itemsize, len(content) - file.tell()
        if needed != there or min(shape, default=0) < 0:
            raise FileFormatError(
                f"{self.path}: {name!r} of shape {shape}, {dtype}, needs {needed:,} bytes, has {there:,}"
            )
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False, max_header_size=HEADER_BYTES)


def _raw(path: Path, archive: _Archive, target: str | None) -> Raw:
    is_split = "x_train" in archive
    needed = SPLIT if is_split else ("x", "y" if target is None else target.lower())
    if target is not None and (is_split or needed[1] not in archive):
        raise unknown_name("target array", target, SPLIT if is_split else archive.entries)
    missing = [name for name in needed if name not in archive]
    if missing:
        found = ", ".join(map(repr, sorted(archive.entries)[:20])) or "nothing"
        raise FileFormatError(f"{path}: {', '.join(map(repr, missing))} is missing, found {found}: {NEEDED}")
    arrays = {name: archive.read(name) for name in needed}
    problems = Problems(str(path))
    for i in range(0, len(needed), 2):
        _check_pair(needed[i], needed[i + 1], arrays, problems)
    if is_split and arrays["x_train"].shape[1:] != arrays["x_test"].shape[1:]:
        problems.add(f"x_train has rows of shape {arrays['x_train'].shape[1:]}, x_test {arrays['x_test'].shape[1:]}")
    if is_split and arrays["y_train"].shape[1:] != arrays["y_test"].shape[1:]:
        problems.add(f"y_train has rows of shape {arrays['y_train'].shape[1:]}, y_test {arrays['y_test'].shape[1:]}")
    problems.raise_any()  # what has the wrong shape or dtype cannot be looked at any further
    for name in needed:
        _check_finite(name, arrays[name], problems)
    problems.raise_any()
    x, y = _rows(arrays[needed[0]]), _column(arrays[needed[1]])
    test = (_rows(arrays["x_test"]), _column(arrays["y_test"])) if is_split else None
    features = _texts(archive, "features", x.shape[1]) or tuple(f"x{i}" for i in range(x.shape[1]))
    return Raw(path.stem, path.name, x, y, features, needed[1], _texts(archive, "classes"), test)


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


def _check_finite(name: str, array: np.ndarray, problems: Problems) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))
        more = f", and {len(bad) - 1} more of {array.size}" if len(bad) > 1 else ""
        at = tuple(int(i) for i in bad[0])
        problems.add(f"{name}[{', '.join(map(str, at))}] = {array[at]}{more}", nonfinite=True)


def _rows(x: np.ndarray) -> np.ndarray:
    """(rows, features) in float64: further axes become features, the last one fastest."""
    return np.ascontiguousarray(x.reshape(len(x), -1), dtype=np.float64)


def _column(y: np.ndarray) -> np.ndarray:
    flat = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    return flat.astype(flat.dtype.newbyteorder("=")) if flat.dtype.kind != "b" else flat.astype(np.int64)


def _texts(archive: _Archive, name: str, count: int | None = None) -> tuple[str, ...] | None:
    """An array of names, if there is one."""
    if name not in archive:
        return None
    found = archive.read(name)
    if found.dtype.kind not in "Uiu" or found.ndim != 1 or not found.size or found.size != (count or found.size):
        wanted = f"{count} names" if count is not None else "one name per class"
        raise FileFormatError(f"{archive.path}: {name!r} has shape {found.shape}, {found.dtype}, expected {wanted}")
    return tuple(str(v) for v in found.tolist())
