"""Files on disk: read as a whole up to a limit, and written so that an older file is never lost."""

import io
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from everygrad.errors import FileFormatError, InputError


def read_limited(path: Path, max_bytes: int) -> bytes:
    """The content of a regular file; raises `FileFormatError` if it is missing, empty, no file, or too large."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe or a device could be read without end
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
            raise FileFormatError(f"{path} is {kind}: expected a file")
        with path.open("rb") as file:
            content = file.read(min(max_bytes, found.st_size or 2**20) + 1)  # room for as much is made at once
    except FileNotFoundError:
        raise FileFormatError(f"{path}: there is no such file") from None
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # a NUL in the path
        raise FileFormatError(f"{str(path)!r} cannot be read: {error}") from None
    if len(content) > max_bytes:
        size = max(found.st_size, len(content))
        raise FileFormatError(f"{path} has {size:,} bytes, the limit is {max_bytes:,}: raise it with max_bytes=")
    if not content:
        raise FileFormatError(f"{path} is empty")
    return content


def write_atomic(path: Path, content: bytes, verify: Callable[[Path], None] | None = None) -> None:
    """Write a file that is there in full or not at all, even if the power fails.

    The content goes to a new file in the same folder, which is flushed to the disk, passed to ``verify`` (which
    raises if it reads something else), and renamed; then the folder is flushed. A link is followed, an
    existing file keeps its permissions. Raises `InputError` if it cannot be written; then, and if ``verify``
    raises, what was there before is untouched and nothing is left behind.
    """
    try:
        path = path.resolve()
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a regular file: give another name")
        temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.tmp")
        _write_and_rename(temporary, path, content, verify)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path} cannot be written: {reason}. Give a file in a folder that is there") from None


def _write_and_rename(temporary: Path, path: Path, content: bytes, verify: Callable[[Path], None] | None) -> None:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)  # less the user's umask
    try:
        with os.fdopen(descriptor, "wb") as file:
            if path.exists():
                os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if verify is not None:
            verify(temporary)
        temporary.replace(path)
    except BaseException:  # Ctrl-C too leaves nothing behind
        temporary.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def archive(arrays: Mapping[str, np.ndarray]) -> bytes:
    """What `numpy.savez` writes, for arrays of any name."""
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, array in arrays.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
    return buffer.getvalue()


def read_archive(path: Path, max_bytes: int) -> dict[str, np.ndarray]:
    """The arrays of an archive, by name; nothing is unpickled. Raises `FileFormatError`."""
    import zipfile

    content = read_limited(path, max_bytes)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            size = sum(entry.file_size for entry in file.infolist())
        if size > max_bytes:
            raise FileFormatError(f"{path} would unpack to {size:,} bytes, the limit is {max_bytes:,}")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileFormatError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise many kinds for a damaged archive
        raise FileFormatError(
            f"{path} cannot be read: {error or type(error).__name__}. Expected an .npz of arrays of numbers, as "
            f"numpy.savez writes it"
        ) from None
