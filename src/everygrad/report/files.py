"""Writing a report so that nothing is lost: looked at before the long work, whole or not at all after it."""

import os
import tempfile
from pathlib import Path

from everygrad.errors import InputError
from everygrad.storage import write_atomic


def ensure_writable(path: str | os.PathLike[str]) -> Path:
    """The path, if a file can be written there; call it before long work.

    Raises `InputError` if it is a folder, its folder is missing or is not one, or either may not be
    written to. Leaves nothing behind and does not touch a file that is there.
    """
    target = Path(path)
    folder = target.parent
    if target.is_dir():
        raise InputError(f"{str(path)!r} is a folder: give a file in it, {str(target / 'report.html')!r}")
    if not folder.exists():
        raise InputError(
            f"the folder of {str(path)!r} does not exist: mkdir -p {str(folder)!r}, or choose another path"
        )
    if not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file, so there can be nothing in it: choose another path")
    if target.exists() and not os.access(target, os.W_OK):
        raise InputError(f"{str(path)!r} may not be written to: change its permissions, or choose another path")
    try:  # the only way to know: permissions, read-only disks and quotas all show here
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"no file can be written in {str(folder)!r} ({error.strerror}): choose another path"
        ) from error
    return target


def write(path: str | os.PathLike[str], text: str) -> Path:
    """Write the text as UTF-8, whole or not at all: a temporary file in the same folder, synced, then renamed.

    A file that is there keeps its permissions, and its content if anything fails. Raises `InputError`, as
    `ensure_writable` does.
    """
    target = ensure_writable(path)
    write_atomic(target, text.encode("utf-8"))
    return target
