"""The examples in which torch and optax keep their own optimisers, run as a user runs them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("example", ["torch_optimizer", "optax_optimizer"])
def test_digits_are_learnt(example: str):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / f"{example}.py"), "--epochs", "4"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    lines = [re.fullmatch(r"epoch +(\d)  loss (\d\.\d{4})  held-out accuracy (\d\.\d{4})", line)
             for line in done.stdout.splitlines()]  # fmt: skip
    assert [int(line[1]) for line in lines if line] == [1, 2, 3, 4]
    losses = [float(line[2]) for line in lines if line]
    assert losses == sorted(losses, reverse=True)
    assert float(lines[-1][3]) > 0.9
