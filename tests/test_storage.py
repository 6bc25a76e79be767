"""Reading up to a limit, and writing in full or not at all."""

import os
import stat
from pathlib import Path

import pytest

from everygrad.errors import FileFormatError, InputError
from everygrad.storage import read_limited, write_atomic


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_reads_up_to_the_limit(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_limited(path, 5) == b"12345"
    with pytest.raises(FileFormatError, match=r"file has 5 bytes, the limit is 4: raise it with max_bytes="):
        read_limited(path, 4)


def test_what_cannot_be_read(tmp_path):
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for ever
    for path, message in [
        (tmp_path / "missing", "there is no such file"),
        (tmp_path, "is a folder"),
        (tmp_path / "empty", "is empty"),
        (tmp_path / "pipe", "not a regular file"),
        (tmp_path / "empty" / "below", "cannot be read: Not a directory"),
        (tmp_path / ("n" * 300), "cannot be read: File name too long"),
        (Path("a\0b"), "cannot be read"),
    ]:
        with pytest.raises(FileFormatError, match=message):
            read_limited(path, 10)


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, b"one")
    assert path.read_bytes() == b"one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~_umask()
    path.chmod(0o640)
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert names(tmp_path) == ["file"]


def _umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found


def test_a_link_is_followed(tmp_path):
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "file"
    target.write_bytes(b"one")
    (tmp_path / "link").symlink_to(target)
    write_atomic(tmp_path / "link", b"two")
    assert (tmp_path / "link").is_symlink()
    assert target.read_bytes() == b"two"


def test_is_on_the_disk_before_it_is_renamed(tmp_path, monkeypatch):
    """The order that survives a power failure: file flushed, verified, renamed, folder flushed."""
    events = []
    true_fsync, true_replace = os.fsync, Path.replace

    def fsync(descriptor):
        events.append("flush folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "flush file")
        true_fsync(descriptor)

    def replace(self, target):
        assert (self.parent, target) == (tmp_path, tmp_path / "file")  # another folder may be another disk
        events.append("rename")
        return true_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    write_atomic(tmp_path / "file", b"one", lambda path: events.append(path.read_bytes()))
    assert events == ["flush file", b"one", "rename", "flush folder"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_changes_if_it_does_not_verify(tmp_path, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def verify(temporary: Path) -> None:
        raise error

    with pytest.raises(error):
        write_atomic(path, b"new", verify)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_full_disk(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_what_cannot_be_written(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    for path, message in [
        (tmp_path / "missing" / "file", "No such file or directory"),
        (tmp_path / "file" / "below", "Not a directory"),
        (tmp_path, "is not a regular file"),
        (tmp_path / ("n" * 300), "File name too long"),
        (tmp_path / "loop", "cannot be written"),
    ]:
        with pytest.raises(InputError, match=message):
            write_atomic(path, b"new")
    assert names(tmp_path) == ["file", "loop"]
