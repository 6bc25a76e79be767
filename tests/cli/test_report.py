import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import everygrad as eg
from everygrad import data, report
from tests.cli.running import run


def table(text: str) -> dict[str, list[str]]:
    """The rows of a printed table by their first cell: runs of two spaces or more separate the cells."""
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]
    return {row[0]: row[1:] for row in rows if row}


@pytest.fixture(scope="module")
def made(flowers: Path, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("report")
    page, document = folder / "r.html", folder / "r.json"
    done = run("report", "--data", flowers, "--network", "4,5,3", "--epochs", 6, "--out", page, "--json-out", document)
    assert done.exit_code == 0, done.stderr
    return done, page, document


def by_hand(flowers: Path):
    """The same training by the library."""
    d = data.load(str(flowers), seed=0)
    net = eg.FeedForward([4, 5, 3])
    found = eg.train(
        net, net.init(0), d.x_train, d.y_train, epochs=6, validation=(d.x_test, d.y_test), seed=0, progress=False
    )
    return d, net, found


def test_the_table_holds_the_gradients_of_the_held_out_batch(made, flowers: Path):
    d, net, found = by_hand(flowers)
    g = eg.gradients(net, found.params, d.x_test[:32], d.y_test[:32])
    rows = table(made[0].stdout)
    for name in ("h0", "W1", "b1", "a1", "h1", "W2", "b2", "a2"):
        shape, size, error, verdict = rows[name]
        assert shape == " × ".join(map(str, g[name].shape))
        assert size == f"{np.linalg.norm(g[name]):.4g}"
        assert float(error) < 1e-13
        assert verdict == "ok"


def test_the_score_is_that_of_all_held_out_rows(made, flowers: Path):
    d, _, found = by_hand(flowers)
    logits = np.tanh(d.x_test @ found.params["W1"].T + found.params["b1"]) @ found.params["W2"].T + found.params["b2"]
    share = (logits.argmax(1) == d.y_test).mean()
    assert f"Held-out accuracy {100 * share:.1f} %" in made[0].stdout
    assert "which also chose the epoch" in made[0].stdout


def test_results_and_progress_are_apart(made):
    done = made[0]
    assert "epoch 1: loss" in done.stderr
    assert "epoch 1: loss" not in done.stdout
    assert "quantity" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_the_files_are_written(made):
    _, page, document = made
    text = page.read_text("utf-8")
    assert text.lower().startswith("<!doctype html>")
    content = json.loads(document.read_text("utf-8"))
    jsonschema.validate(content, report.schema())
    assert content["report"]["check"]["ok"] is True
    assert len(content["report"]["history"]) == 6


def test_json_is_the_document_alone(flowers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    done = run("report", "--data", flowers, "--hidden", "5", "--epochs", 2, "--json")
    assert done.exit_code == 0
    jsonschema.validate(json.loads(done.stdout), report.schema())
    assert list(tmp_path.iterdir()) == []


def test_a_saved_network_is_not_trained_and_keeps_its_split(flowers: Path, saved: Path, tmp_path: Path):
    document = tmp_path / "r.json"
    page = tmp_path / "r.html"
    done = run("report", "--data", flowers, "--network", saved, "--out", page, "--json-out", document, "--no-check")
    assert done.exit_code == 0
    content = json.loads(document.read_text("utf-8"))
    assert content["report"]["history"] == []
    assert content["report"]["check"] is None
    net, params = eg.load(saved)
    d = data.load(str(flowers), seed=3)  # the seed that it was trained with
    g = eg.gradients(net, params, d.x_test[:32], d.y_test[:32])
    norms = {q["name"]: q["norm"] for q in content["report"]["quantities"]}
    assert norms["W1"] == pytest.approx(float(np.linalg.norm(g["W1"])), rel=1e-12)
    assert "not known" not in done.stdout
    other = run("report", "--data", flowers, "--network", saved, "--seed", 4, "--out", page, "--no-check")
    assert "is not known" in other.stdout


def test_a_saved_network_is_trained_if_asked_to(flowers: Path, saved: Path, tmp_path: Path):
    done = run(
        "report", "--data", flowers, "--network", saved, "--epochs", 2, "--no-check", "--out", tmp_path / "r.html"
    )
    assert done.exit_code == 0
    assert "Trained for 2 epochs" in done.stdout


def test_float32_and_several_activations(flowers: Path, tmp_path: Path):
    done = run(
        *("report", "--data", flowers, "--hidden", "5,4", "--activation", "relu,tanh", "--dtype", "float32"),
        *("--epochs", 1, "--json", "-q", "--samples", 5),
    )
    content = json.loads(done.stdout)["report"]
    assert (content["dtype"], content["samples"]) == ("float32", 5)
    assert "relu, tanh" in content["network"]
    assert done.stderr == ""


def test_regression_has_r_squared(tmp_path: Path):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(80, 3))
    np.savez(tmp_path / "line.npz", x=x, y=x @ [1.0, -2.0, 0.5] + 0.01 * rng.normal(size=80))
    done = run(
        *("report", "--data", tmp_path / "line.npz", "--hidden", "none", "--epochs", 60, "--learning-rate", "0.05"),
        *("-q", "--out", tmp_path / "r.html"),
    )
    assert done.exit_code == 0, done.stderr
    assert "Held-out R² 1.000" in done.stdout


def test_a_wrong_gradient_is_code_3_and_the_report_is_there(flowers: Path, tmp_path: Path, monkeypatch):
    """A fault planted into the derivative of tanh."""
    from everygrad.graph.elementwise import Elementwise

    right = Elementwise.derivative
    monkeypatch.setattr(Elementwise, "derivative", lambda self, a, h: -right(self, a, h))
    page = tmp_path / "r.html"
    done = run("report", "--data", flowers, "--hidden", "5", "--epochs", 1, "--out", page, "-q")
    assert done.exit_code == 3
    assert "A gradient is wrong at a1" in done.stdout
    assert page.is_file()


def test_what_the_complex_step_cannot_see_through_is_checked_by_differences(flowers: Path, tmp_path: Path, monkeypatch):
    from everygrad import checks
    from everygrad.errors import InputError

    right = checks.check

    def refuses(*args: object, oracle: str = "complex", **named: object):
        if oracle == "complex":
            raise InputError("planted")
        return right(*args, oracle=oracle, **named)

    monkeypatch.setattr(checks, "check", refuses)
    page = tmp_path / "r.html"
    done = run("report", "--data", flowers, "--hidden", "5", "--epochs", 1, "--out", page, "-q", "--samples", 4)
    assert done.exit_code == 0
    assert "No check by the complex step: planted" in done.stderr
    assert "oracle (finite differences)" in done.stdout
    assert page.is_file()


def test_ctrl_c_in_the_check_leaves_it_out(flowers: Path, tmp_path: Path, monkeypatch):
    from everygrad import checks

    def interrupted(*args: object, **named: object):
        raise KeyboardInterrupt

    monkeypatch.setattr(checks, "check", interrupted)
    page = tmp_path / "r.html"
    done = run("report", "--data", flowers, "--hidden", "5", "--epochs", 1, "--out", page, "-q")
    assert done.exit_code == 130
    assert "without it" in done.stderr
    assert page.is_file()
