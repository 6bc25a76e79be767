"""A report's file: looked at before the work, and whole or untouched after it."""

import os
from pathlib import Path

import pytest

from everygrad.errors import InputError
from everygrad.report import ensure_writable, write


def test_a_good_path_is_returned_and_nothing_is_left_behind(tmp_path: Path):
    path = tmp_path / "report.html"
    assert ensure_writable(path) == path
    assert list(tmp_path.iterdir()) == []
    path.write_text("old", "utf-8")
    assert ensure_writable(str(path)) == path
    assert path.read_text("utf-8") == "old"


def test_a_bad_path_says_what_to_do(tmp_path: Path):
    file = tmp_path / "file"
    file.touch()
    for path, message in (
        (tmp_path, "is a folder: give a file in it"),
        (tmp_path / "no" / "r.html", "does not exist: mkdir -p"),
        (file / "r.html", "is a file, so there can be nothing in it"),
    ):
        for function in (ensure_writable, lambda p: write(p, "text")):
            with pytest.raises(InputError, match=message):
                function(path)
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_may_not_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Permissions do not stop the superuser, so the refusal is played."""

    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(InputError, match=r"no file can be written in .*Permission denied"):
        ensure_writable(tmp_path / "r.html")


def test_a_file_that_may_not_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "r.html"
    path.touch()
    monkeypatch.setattr(os, "access", lambda *args: False)
    with pytest.raises(InputError, match="may not be written to: change its permissions"):
        ensure_writable(path)


def test_what_is_written_can_be_read(tmp_path: Path):
    path = tmp_path / "r.html"
    text = "∇ü\r\nline\n"
    assert write(path, text) == path
    assert path.read_bytes() == text.encode("utf-8")
    path.chmod(0o640)
    write(path, "second")
    assert path.read_text("utf-8") == "second"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "r.html"
    path.write_text("old", "utf-8")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match="No space left"):
        write(path, "new")
    assert path.read_text("utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]
