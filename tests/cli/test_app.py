"""What holds for every command: help, codes, streams, bad input."""

import os
import pty
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

import everygrad as eg
from everygrad.cli.app import COMMANDS
from everygrad.cli.exits import code_of
from everygrad.errors import (
    CheckFailed,
    FileFormatError,
    InputError,
    NonFiniteError,
    TooLargeError,
    UnknownNameError,
    UnsupportedError,
)
from tests.cli.running import COMMAND, environment, process, run, start

LONG = ("--epochs", 10**6, "--batch-size", 4)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("x"), 2),
        (UnknownNameError("x"), 2),
        (TooLargeError("x"), 2),
        (UnsupportedError("x"), 2),
        (MemoryError(), 2),
        (CheckFailed("x"), 3),
        (FileFormatError("x"), 4),
        (PermissionError("x"), 4),
        (NonFiniteError("x"), 5),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError(), 1),
    ],
)
def test_every_error_has_its_code(error: BaseException, code: int):
    assert code_of(error) == code


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples(name: str):
    for flag in ("-h", "--help"):
        done = run(name, flag)
        assert done.exit_code == 0
        assert f"\n    everygrad {name} " in done.stdout or f"\n  everygrad {name} " in done.stdout
        assert "--json" in done.stdout


def test_the_group():
    done = run("--help")
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)
    assert "Exit codes: 0 ok" in done.stdout
    assert run("--version").stdout == f"everygrad {eg.__version__}\n"
    unknown = run("reprot")
    assert unknown.exit_code == 2
    assert "Did you mean 'report'?" in unknown.stderr


def test_help_loads_no_heavy_library():
    script = (
        "import sys\nfrom everygrad.cli import main\n"
        "try: main(['report', '--help'])\nexcept SystemExit: pass\n"
        "heavy = ('sklearn', 'torch', 'jax', 'scipy', 'matplotlib', 'rich.console', 'llvmlite', 'numba')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run(
        [COMMAND[0], "-c", script], env=environment(), capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_python_m():
    done = subprocess.run(
        [COMMAND[0], "-m", "everygrad", "--version"], env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.stdout == f"everygrad {eg.__version__}\n"


# ------------------------------------------------------------------------------------ bad input

TEXT = "a,b,y\n1,2,0\n3,high,1\n5,6,0\n7,8,1\n"
NAN = "a,b,y\n1,2,0\n3,nan,1\n5,6,0\n7,8,1\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--data", "digts"), 2, "Did you mean 'digits'?"),
        (("--data", "missing.csv"), 4, "no such file"),
        (
            ("--data", "wine", "--network", "32,16"),
            2,
            "begin with 13 and end with 3. Type --network 13,3, or --hidden 32,16",
        ),
        (("--data", "wine", "--network", "13,8,2"), 2, "Type --network 13,8,3"),
        (("--data", "wine", "--network", "missing.safetensors"), 4, "no such file"),
        (("--data", "wine", "--network", "13,8,3", "--hidden", "8"), 2, "give one of them"),
        (("--data", "wine", "--activation", "rleu"), 2, "Did you mean 'relu'?"),
        (("--data", "wine", "--optimizer", "adm"), 2, "Did you mean 'adam'?"),
        (("--data", "wine", "--dtype", "float16"), 2, "float32"),
        (("--data", "wine", "--epoch", "3"), 2, "--epochs"),
        (("--data", "wine", "--batch-size", "0"), 2, "--batch-size"),
        (("--data", "wine", "--learning-rate", "0"), 2, "--learning-rate"),
        (("--data", "wine", "--learning-rate", "nan"), 2, "learning_rate"),
        (("--data", "wine", "--target", "class"), 2, "own target"),
        ((), 2, "--data"),
    ],
)
def test_bad_arguments(arguments: tuple[str, ...], code: int, message: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("report", *arguments)
    assert done.exit_code == code
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "code", "message"),
    [
        ("text.csv", TEXT, 4, "'high'"),
        ("nan.csv", NAN, 5, "nan"),
        ("one.csv", "a,y\n1,0\n2,0\n3,0\n4,0\n", 2, "nothing to learn"),
        ("head.csv", "a,b,y\n", 4, "no rows"),
        ("empty.csv", "", 4, "is empty"),
        ("not.npz", "a,b", 4, "not an .npz file"),
        ("net.safetensors", "a,b", 2, "end in .csv or .npz"),
    ],
)
def test_bad_data_files(name: str, content: str, code: int, message: str, tmp_path: Path):
    path = tmp_path / name
    path.write_text(content, "utf-8")
    done = run("report", "--data", path, "--out", tmp_path / "r.html")
    assert (done.exit_code, done.stdout) == (code, "")
    assert message in done.stderr
    assert not (tmp_path / "r.html").exists()


def test_bad_network_files(flowers: Path, saved: Path, tmp_path: Path):
    content = saved.read_bytes()
    for name, wrong in (("short", content[:-9]), ("other", b"abc" * 50), ("flipped", content[:-1] + b"\x55")):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(wrong)
        done = run("check", "--data", flowers, "--network", path, "-q")
        assert (done.exit_code, done.stdout) == (4, ""), name
        assert str(path) in done.stderr


def test_a_saved_network_that_does_not_fit(saved: Path):
    done = run("check", "--data", "wine", "--network", saved)
    assert done.exit_code == 2
    assert "takes 4 features, wine has 13" in done.stderr
    for option in (("--activation", "relu"), ("--dtype", "float32")):
        assert run("check", "--data", "wine", "--network", saved, *option).exit_code == 2


@pytest.mark.parametrize("option", ["--out", "--json-out"])
def test_an_output_that_cannot_be_written_is_told_before_the_work(option: str, tmp_path: Path, monkeypatch):
    def never(*args: object, **named: object) -> None:
        pytest.fail("the data were loaded")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("everygrad.cli.prepare.load", never)
    for place in (tmp_path, tmp_path / "missing" / "r.html"):
        done = run("report", "--data", "wine", option, place)
        assert (done.exit_code, done.stdout) == (4, "")
        assert str(place) in done.stderr
    out = ("--out", tmp_path / "missing" / "n.safetensors")
    assert run("train", "--data", "wine", *out).exit_code == 4
    assert run("check", "--data", "wine", "--batch-out", out[1]).exit_code == 4


def test_no_file_is_written_over_what_is_read(flowers: Path, tmp_path: Path):
    before = flowers.read_bytes()
    for options in (("report", "--out", flowers), ("train", "--out", flowers), ("report", "--json-out", flowers)):
        assert run(*options, "--data", flowers).exit_code == 2
    same = tmp_path / "same"
    assert run("report", "--data", flowers, "--out", same, "--json-out", same).exit_code == 2
    assert flowers.read_bytes() == before


def test_a_fault_of_ours_is_one_message(monkeypatch: pytest.MonkeyPatch):
    def broken(*args: object, **named: object) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr("everygrad.cli.paths.find", broken)
    done = run("paths", "z = x", "--at", "x=1")
    assert done.exit_code == 1
    assert "RuntimeError: planted" in done.stderr
    assert "Traceback" not in done.stderr
    monkeypatch.setenv("EVERYGRAD_TRACEBACK", "1")
    assert isinstance(run("paths", "z = x", "--at", "x=1").exception, RuntimeError)


# ------------------------------------------------------------------------ processes of their own


@pytest.mark.slow
def test_the_code_of_a_process_and_its_streams(tmp_path: Path):
    code, out, errors = process("check", "--data", "missing.csv")
    assert (code, out) == (4, "")
    assert errors == "Error: missing.csv: there is no such file\n"
    code, out, errors = process("paths", "z = x**2", "--at", "x=3", PYTHONIOENCODING="ascii")
    assert (code, errors) == (0, "")
    assert "= 6" in out


def in_a_terminal(*args: object, **env: str) -> bytes:
    """Everything that a process writes to a terminal."""
    main, child = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *map(str, args)], env=environment(TERM="xterm", **env), stdin=child, stdout=child, stderr=child
    ) as running:
        os.close(child)
        seen = b""
        while True:
            try:
                piece = os.read(main, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            seen += piece
    os.close(main)
    assert running.returncode == 0, seen
    return seen


@pytest.mark.slow
def test_escape_sequences_only_where_they_are_wanted(flowers: Path, tmp_path: Path):
    command = ("report", "--data", flowers, "--hidden", "5", "--epochs", 3, "--out", tmp_path / "r.html")
    assert b"\x1b[" in in_a_terminal(*command)
    plain = in_a_terminal(*command, NO_COLOR="1")
    assert b"\x1b" not in plain
    assert b"epoch 1: loss" in plain
    code, out, errors = process(*command, FORCE_COLOR="1", TTY_COMPATIBLE="1")
    assert code == 0
    assert "\x1b" not in out + errors


@pytest.mark.slow
def test_a_reader_that_leaves_does_not_stop_the_work(flowers: Path, tmp_path: Path):
    out = tmp_path / "r.html"
    with start("report", "--data", flowers, "--hidden", "5", "--epochs", 3, "--out", out, "-q") as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("flowers: 3 classes")
        running.stdout.close()
        assert running.stderr is not None
        errors = running.stderr.read()
        assert running.wait(60) == 0
    assert errors == ""
    assert out.is_file()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
def test_a_full_disk_behind_stdout_is_code_4():
    with Path("/dev/full").open("w") as full, start("shapes", "--network", "4,3", stdout=full) as running:
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 4
    assert errors.startswith("Error: the output cannot be written")
    assert errors.count("\n") == 1


def interrupted(*args: object) -> tuple[int, str, str]:
    """Ctrl-C after the third line of progress."""
    with start(*args) as running:
        assert running.stderr is not None
        first = running.stderr.readline()
        assert first.startswith("epoch 1:"), first
        running.send_signal(signal.SIGINT)
        out, errors = running.communicate(timeout=60)
    return running.returncode, out, errors


@pytest.mark.slow
def test_ctrl_c_writes_the_best_network(flowers: Path, tmp_path: Path):
    path = tmp_path / "n.safetensors"
    code, out, errors = interrupted("train", "--data", flowers, "--hidden", "5", *LONG, "--out", path)
    assert code == 130
    assert "Interrupted after" in out
    assert f"Written: {path}" in out
    assert "Traceback" not in errors
    net, params = eg.load(path)
    assert str(net).startswith("FeedForward 4-5-3")
    assert all(np.isfinite(p).all() for p in params.values())


@pytest.mark.slow
def test_ctrl_c_still_gives_a_report(flowers: Path, tmp_path: Path):
    page = tmp_path / "r.html"
    code, out, _ = interrupted("report", "--data", flowers, "--hidden", "5", *LONG, "--out", page)
    assert code == 130
    assert "All 8 gradients agree" in out
    assert page.is_file()
