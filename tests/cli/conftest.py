"""A small file of data and a network trained on it, made once."""

from pathlib import Path

import numpy as np
import pytest

from tests.cli.running import run


@pytest.fixture(scope="session")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 rows of three kinds, far apart: 4 features and a target in words."""
    rng = np.random.default_rng(0)
    kind = np.arange(60) % 3
    x = 4 * np.eye(3, 4)[kind] + rng.normal(size=(60, 4))
    lines = [
        "a,b,c,d,species",
        *(",".join(map(repr, row)) + f",kind{k}" for row, k in zip(x.tolist(), kind, strict=True)),
    ]
    path = tmp_path_factory.mktemp("data") / "flowers.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.fixture(scope="session")
def saved(flowers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "flowers.safetensors"
    done = run("train", "--data", flowers, "--hidden", "5", "--epochs", 8, "--seed", 3, "--out", path, "-q")
    assert done.exit_code == 0, done.stderr
    return path
