"""A real Ctrl-C and a real kill, of a training in another process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import everygrad as eg
from everygrad.train import train

ROOT = Path(__file__).parents[2]

# SIGINT is set because whoever started the tests may have told its children to ignore it
SCRIPT = """
import signal, sys
import numpy as np
import everygrad as eg
from everygrad.train import train
from tests.train.test_signals import problem

signal.signal(signal.SIGINT, signal.default_int_handler)
net, start, x, y = problem()
tell = lambda epoch: print(epoch.epoch, flush=True)
found = train(net, start, x, y, epochs=10**6, batch_size=8, progress=tell, checkpoint=sys.argv[1], checkpoint_every=2)
print("interrupted", found.interrupted, len(found.history), found.best_epoch)
"""


def problem():
    rng = np.random.default_rng(0)
    y = np.arange(200) % 3
    net = eg.FeedForward([5, 16, 3])
    return net, net.init(0), rng.normal(size=(3, 5))[y] + rng.normal(size=(200, 5)), y


def run_and_send(number: signal.Signals, path: Path) -> tuple[int, list[str], str]:
    """Start the training, let three epochs pass, send the signal; its exit status, lines and stderr."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
    command = [sys.executable, "-c", SCRIPT, str(path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(number)
        rest, errors = process.communicate(timeout=60)
    return process.returncode, [*lines, *rest.splitlines()], errors


def assert_resumes_bitwise(path: Path) -> int:
    """The number of epochs in the checkpoint."""
    net, start, x, y = problem()

    def stop(epoch):
        raise KeyboardInterrupt

    done = train(net, start, x, y, epochs=10**6, batch_size=8, progress=stop, checkpoint=path, resume=True)
    total = len(done.history) + 2
    resumed = train(net, start, x, y, epochs=total, batch_size=8, progress=False, checkpoint=path, resume=True)
    whole = train(net, start, x, y, epochs=total, batch_size=8, progress=False)
    for name, array in whole.last.items():
        np.testing.assert_array_equal(resumed.last[name], array)
        np.testing.assert_array_equal(resumed.params[name], whole.params[name])
    return len(done.history) - 1


@pytest.mark.slow
def test_ctrl_c_returns_and_resumes(tmp_path: Path):
    path = tmp_path / "run.ckpt"
    status, lines, errors = run_and_send(signal.SIGINT, path)
    assert (status, errors) == (0, "")
    word, interrupted, epochs, best = lines[-1].split()
    assert (word, interrupted) == ("interrupted", "True")
    assert int(epochs) >= 3
    assert 1 <= int(best) <= int(epochs)
    assert assert_resumes_bitwise(path) >= int(epochs)


@pytest.mark.slow
def test_a_kill_loses_two_epochs_at_most(tmp_path: Path):
    path = tmp_path / "run.ckpt"
    status, lines, _ = run_and_send(signal.SIGKILL, path)
    assert status == -signal.SIGKILL
    assert assert_resumes_bitwise(path) >= int(lines[-1]) - 2
