"""NumPy archives, read without pickle and without trusting what they claim about themselves."""

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import final

import numpy as np

from everygrad.data.raw import Problems
from everygrad.errors import FileFormatError

HEADER_BYTES = 10_000  # of one array: its dtype and its shape


@final
class Archive:
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

    def texts(self, name: str, count: int | None = None) -> tuple[str, ...] | None:
        """An array of names, if there is one."""
        if name not in self:
            return None
        found = self.read(name)
        if found.dtype.kind not in "Uiu" or found.ndim != 1 or not found.size or found.size != (count or found.size):
            wanted = f"{count} names" if count is not None else "one name per class"
            raise FileFormatError(f"{self.path}: {name!r} has shape {found.shape}, {found.dtype}, expected {wanted}")
        return tuple(str(v) for v in found.tolist())


def check_parts(arrays: Mapping[str, np.ndarray], problems: Problems) -> None:
    """Whether the two parts of what is split already have rows of one shape."""
    for name in ("x", "y", "weight"):
        shapes = [arrays[part].shape[1:] for part in (f"{name}_train", f"{name}_test") if part in arrays]
        if len(set(shapes)) > 1:
            problems.add(f"{name}_train has rows of shape {shapes[0]}, {name}_test {shapes[1]}")


def check_finite(name: str, array: np.ndarray, problems: Problems, counted: np.ndarray | None = None) -> None:
    """Whether all of an array is finite, or what is ``counted``: a mask over its first axes."""
    if array.dtype.kind != "f":
        return
    bad = ~np.isfinite(array)
    if counted is not None:
        bad &= counted.reshape(*counted.shape, *(1,) * (array.ndim - counted.ndim))
    if bad.any():
        problems.add(first_of(name, array, bad), nonfinite=True)


def first_of(name: str, array: np.ndarray, bad: np.ndarray) -> str:
    """``x[4, 1] = nan, and 3 more of 60``: the first of the bad numbers of an array."""
    index = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
    count = int(bad.sum())
    more = f", and {count - 1} more of {array.size}" if count > 1 else ""
    return f"{name}[{', '.join(map(str, index))}] = {array[index]}{more}"


def plain(y: np.ndarray) -> np.ndarray:
    """A target in the machine's byte order, truth as 0 and 1, a single column as a number for each row."""
    flat = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    return flat.astype(flat.dtype.newbyteorder("=")) if flat.dtype.kind != "b" else flat.astype(np.int64)
