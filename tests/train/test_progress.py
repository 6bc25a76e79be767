"""What appears on stderr: a bar on a terminal, a few lines in a log, nothing when asked."""

import io
import re

import pytest
from rich.console import Console

import everygrad as eg
from everygrad.train import train
from everygrad.train.progress import Bar, Calls, Lines, reporter
from tests.train.cases import blobs

ESCAPE = "\x1b"


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def trained(**arguments):
    net, (x, y) = eg.FeedForward([5, 4, 3]), blobs()
    return train(net, net.init(0), x, y, **arguments)


@pytest.fixture
def clean(monkeypatch):
    """What rich asks the environment, unset."""
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return monkeypatch


def test_a_log_gets_a_few_lines_and_stdout_nothing(clean, capsys):
    found = trained(epochs=40)
    out, err = capsys.readouterr()
    assert out == ""
    assert ESCAPE not in err
    expected = [epoch for epoch in found.history if epoch.epoch == 1 or epoch.epoch % 4 == 0]
    assert err.splitlines() == [str(epoch) for epoch in expected]
    assert re.fullmatch(r"epoch 1: loss \d\.\d+, accuracy \d+\.\d %", err.splitlines()[0])


def test_a_terminal_gets_a_bar(clean, capsys):
    terminal = Terminal()
    clean.setattr("sys.stderr", terminal)
    found = trained(epochs=5, validation=blobs(20, seed=3))
    shown = terminal.getvalue()
    assert ESCAPE in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    last = found.history[-1]
    assert "epoch 5/5" in plain
    assert f"val loss {last.validation_loss:.4f}  accuracy {100 * last.validation_accuracy:5.1f} %" in plain
    assert shown.count("\x1b[?25h") == shown.count("\x1b[?25l") == 1  # the cursor is shown again
    assert capsys.readouterr().out == ""


def test_no_color(clean):
    terminal = Terminal()
    clean.setattr("sys.stderr", terminal)
    clean.setenv("NO_COLOR", "1")
    trained(epochs=3)
    assert "epoch 3/3" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert not re.search(r"\x1b\[(3|4|9)\d[;m]|\x1b\[38", terminal.getvalue())


def test_the_bar_is_closed_when_the_training_is_cut(clean):
    terminal = Terminal()
    console = Console(file=terminal, force_terminal=True)
    bar = Bar(console, 5, 0, 2)

    def cut():
        with bar:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut()
    assert terminal.getvalue().count("\x1b[?25h") == 1
    assert not bar.progress.live.is_started


def test_a_resumed_bar_begins_where_it_was():
    bar = Bar(Console(file=Terminal(), force_terminal=True), 10, 4, 3)
    with bar:
        assert (bar.progress.tasks[0].completed, bar.progress.tasks[0].total) == (12, 30)


def test_who_is_told(clean):
    assert reporter(False, 5, 0, 2) is None
    assert isinstance(reporter(True, 5, 0, 2), Lines)
    assert isinstance(reporter(print, 5, 0, 2), Calls)
    clean.setattr("sys.stderr", Terminal())
    assert isinstance(reporter(True, 5, 0, 2), Bar)
    clean.setenv("TERM", "dumb")
    assert isinstance(reporter(True, 5, 0, 2), Lines)


def test_silence(capfd):
    trained(epochs=2, progress=False)
    assert capfd.readouterr() == ("", "")
