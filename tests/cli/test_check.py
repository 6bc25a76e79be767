import json
from pathlib import Path

import numpy as np
import pytest

import everygrad as eg
from tests.cli.running import run


@pytest.fixture
def batch(flowers: Path, saved: Path, tmp_path: Path):
    """What --batch-out writes."""
    path = tmp_path / "batch.npz"
    done = run("check", "--data", flowers, "--network", saved, "--batch-out", path, "-q")
    assert done.exit_code == 0, done.stderr
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def mine(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The gradients of that batch, by plain formulas."""
    x, y = batch["x"], batch["y"]
    h = np.tanh(x @ batch["W1"].T + batch["b1"])
    z = h @ batch["W2"].T + batch["b2"]
    p = np.exp(z - z.max(1, keepdims=True))
    a2 = (p / p.sum(1, keepdims=True) - np.eye(3)[y]) / len(y)
    h1 = a2 @ batch["W2"]
    a1 = h1 * (1 - h * h)
    return {"W1": a1.T @ x, "b1": a1.sum(0), "a1": a1, "h1": h1, "W2": a2.T @ h, "b2": a2.sum(0), "a2": a2}


def test_right_gradients_of_ones_own(flowers: Path, saved: Path, batch, tmp_path: Path):
    np.savez(tmp_path / "mine.npz", **mine(batch))
    done = run("check", "--data", flowers, "--network", saved, "--gradients", tmp_path / "mine.npz", "--json", "-q")
    content = json.loads(done.stdout)
    assert (content["schema"], content["version"], content["ok"]) == ("everygrad-check", 1, True)
    assert [row["name"] for row in content["rows"]] == ["W1", "b1", "a1", "h1", "W2", "b2", "a2"]
    assert all(row["error"] < 1e-13 for row in content["rows"])
    assert done.exit_code == 0


@pytest.mark.parametrize(
    ("plant", "culprit", "words"),
    [
        (lambda g, b: g | {"W1": g["W1"] * len(b["y"])}, "W1", "1/B"),
        (lambda g, b: g | {"h1": -g["h1"]}, "h1", "sign"),
        (lambda g, b: g | {"W2": g["W2"].T}, "W2", "transpose"),
    ],
)
def test_wrong_gradients_are_named_on_stdout(flowers, saved, batch, tmp_path: Path, plant, culprit: str, words: str):
    np.savez(tmp_path / "mine.npz", **plant(mine(batch), batch))
    command = ("check", "--data", flowers, "--network", saved, "--gradients", tmp_path / "mine.npz", "-q")
    done = run(*command)
    assert done.exit_code == 3
    assert "WRONG" in done.stdout
    assert f"The first in the backward sweep is {culprit}" in done.stdout
    assert words in done.stdout
    assert done.stderr == ""
    content = json.loads(run(*command, "--json").stdout)
    assert (content["ok"], content["culprit"]) == (False, culprit)


def test_not_a_number_is_wrong_and_is_a_text_in_json(flowers: Path, saved: Path, batch, tmp_path: Path):
    planted = mine(batch)
    planted["b2"] = np.full(3, np.nan)
    np.savez(tmp_path / "mine.npz", **planted)
    done = run("check", "--data", flowers, "--network", saved, "--gradients", tmp_path / "mine.npz", "-q", "--json")
    assert done.exit_code == 3
    rows = {row["name"]: row for row in json.loads(done.stdout, parse_constant=pytest.fail)["rows"]}
    assert rows["b2"]["norm"] == "NaN" or rows["b2"]["error"] in ("NaN", "Infinity")


def test_finite_differences_and_sizes(flowers: Path):
    done = run("check", "--data", flowers, "--network", "4,6,3", "--oracle", "difference", "--samples", 3, "--json")
    content = json.loads(done.stdout)
    assert (content["oracle"], content["samples"], content["ok"]) == ("finite differences", 3, True)
    assert max(row["error"] for row in content["rows"]) > 1e-13  # it was no complex step
    assert "checking" in done.stderr


def test_the_batch_is_that_of_the_network(saved: Path, batch):
    params = eg.load(saved)[1]
    assert batch.keys() == {"x", "y", *params}
    np.testing.assert_array_equal(batch["W1"], params["W1"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        (b"", "is empty"),
        (b"PK\x03\x04 nothing", "cannot be read"),
        (b"W1 = 3", "cannot be read"),
    ],
)
def test_a_bad_file_of_gradients_is_code_4(flowers: Path, saved: Path, tmp_path: Path, content, message: str):
    path = tmp_path / "mine.npz"
    if content is not None:
        path.write_bytes(content)
    done = run("check", "--data", flowers, "--network", saved, "--gradients", path, "-q")
    assert (done.exit_code, done.stdout) == (4, "")
    assert message in done.stderr


@pytest.mark.parametrize("array", [np.array([None]), np.array(["a"]), np.array([1j])])
def test_what_is_no_number_is_refused(flowers: Path, saved: Path, tmp_path: Path, array: np.ndarray):
    np.savez(tmp_path / "mine.npz", W1=array)
    done = run("check", "--data", flowers, "--network", saved, "--gradients", tmp_path / "mine.npz", "-q")
    assert done.exit_code == 4


def test_an_unknown_quantity_is_answered_with_the_nearest(flowers: Path, saved: Path, tmp_path: Path):
    np.savez(tmp_path / "mine.npz", W11=np.zeros((5, 4)))
    done = run("check", "--data", flowers, "--network", saved, "--gradients", tmp_path / "mine.npz", "-q")
    assert done.exit_code == 2
    assert "Did you mean 'W1'?" in done.stderr
