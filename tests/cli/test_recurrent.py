"""Recurrent networks from the command: sequences in, side by side, saved, checked, refused."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import everygrad as eg
from everygrad import data, report
from tests.cli.running import run


def sequences(path: Path, **more: np.ndarray) -> Path:
    """36 sequences of three kinds: 5 steps of 2 features, and what else the file is to hold."""
    rng = np.random.default_rng(0)
    kind = np.arange(36) % 3
    x = rng.normal(size=(36, 5, 2)) + 2 * np.eye(3, 2)[kind][:, None]
    np.savez(path, x=x, y=kind, **more)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All sequences have five steps; the file is told apart from rows of features by a mask of ones."""
    return sequences(tmp_path_factory.mktemp("whole") / "whole.npz", mask=np.ones((36, 5), bool))


@pytest.fixture(scope="module")
def ragged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sequences(tmp_path_factory.mktemp("ragged") / "ragged.npz", lengths=1 + np.arange(36) % 5)


def norms(content: dict) -> dict[str, float]:
    return {q["name"]: q["norm"] for q in content["quantities"]}


def test_the_report_holds_what_the_library_computes(ragged: Path, tmp_path: Path):
    page = tmp_path / "r.html"
    done = run(
        *("report", "--data", ragged, "--network", "elman", "--units", 3, "--layers", 2, "--bidirectional"),
        *("--read", "mean", "--epochs", 2, "--samples", 2, "--out", page, "--json-out", tmp_path / "r.json", "-q"),
    )
    assert done.exit_code == 0, done.stderr
    d = data.load(str(ragged))
    net = data.recurrent_for(d, "elman", units=3, layers=2, bidirectional=True, read="mean")
    found = eg.train(net, net.init(0), **d.training, epochs=2, validation=d.held_out, progress=False)
    g = eg.gradients(net, found.params, **{name: array[:2] for name, array in d.held_out.items()})
    content = json.loads((tmp_path / "r.json").read_text("utf-8"))
    jsonschema.validate(content, report.schema())
    shown = norms(content["report"])
    for name in ("x", "W_l1_reverse", "h_l0", "V"):
        assert shown[name] == pytest.approx(float(np.linalg.norm(g[name])), rel=1e-12)
    direct = next(q for q in content["report"]["quantities"] if q["name"] == "direct h_l0")
    assert (direct["role"], direct["ok"]) == ("direct", True)
    assert direct["norm"] == pytest.approx(float(np.linalg.norm(g.direct["h_l0"])), rel=1e-12)
    assert [layer["label"] for layer in content["report"]["time"]] == ["l0", "l0_reverse", "l1", "l1_reverse"]
    assert "Over time</h2>" in page.read_text("utf-8")
    assert content["report"]["check"]["ok"] is True


def test_several_networks_are_trained_one_after_the_other_and_compared(tmp_path: Path):
    """A feed-forward network takes the steps of a sequence as so many features."""
    networks = ("--network", "64,5,10", "--network", "elman", "--network", "lstm", "--activation", "tanh,sigmoid,tanh")
    recipe = ("--epochs", "1,2,1", "--batch-size", "128", "--learning-rate", "0.001,0.01,0.02", "--samples", 2)
    files = ("--out", tmp_path / "r.html", "--json-out", tmp_path / "r.json", "--no-check")
    done = run("report", "--data", "digits-rows", *networks, *recipe, *files)
    assert done.exit_code == 0, done.stderr
    content = json.loads((tmp_path / "r.json").read_text("utf-8"))
    jsonschema.validate(content, report.schema())
    each = [content["report"], *content["compared"]]
    assert [len(r["history"]) for r in each] == [1, 2, 1]
    assert [r["network"].split(",")[0] for r in each] == [
        "FeedForward 64-5-10",
        "Recurrent Elman 8-32",
        "Recurrent LSTM 8-32",
    ]
    assert "sigmoid" in each[1]["network"]
    assert len(each[0]["data"]["features"]) == 64
    d = data.load("digits-rows")
    net = eg.Recurrent(eg.Elman(8, 32, activation="sigmoid"), 10)
    found = eg.train(
        *(net, net.init(0), d.x_train, d.y_train),
        epochs=2,
        batch_size=128,
        learning_rate=0.01,
        validation=(d.x_test, d.y_test),
        progress=False,
    )
    g = eg.gradients(net, found.params, d.x_test[:2], d.y_test[:2])
    assert norms(each[1])["W"] == pytest.approx(float(np.linalg.norm(g["W"])), rel=1e-12)
    for word in ("FeedForward 64-5-10", "Elman 8-32", "LSTM 8-32", "Left at the first step"):
        assert word in done.stdout
        assert word in (tmp_path / "r.html").read_text("utf-8")


def test_ctrl_c_keeps_the_networks_before_it(whole: Path, tmp_path: Path, monkeypatch):
    from everygrad.cli import fit

    right, reached = fit.fit, []

    def interrupted(case, recipe, quiet):
        reached.append(str(case.network))
        found = right(case, recipe, quiet)
        object.__setattr__(found, "interrupted", len(reached) == 2)
        return found

    monkeypatch.setattr(fit, "fit", interrupted)
    networks = ("--network", "elman", "--network", "gru", "--network", "lstm")
    files = ("--out", tmp_path / "r.html", "--json-out", tmp_path / "r.json")
    done = run("report", "--data", whole, *networks, "--units", 3, "--epochs", 1, "--no-check", "-q", *files)
    assert done.exit_code == 130
    assert len(reached) == 2
    assert "Interrupted after 1 epoch" in done.stdout
    assert "Not reached: Recurrent LSTM 2-3" in done.stdout
    content = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert len(content["compared"]) == 1


def test_what_is_trained_is_saved_and_found_again(ragged: Path, tmp_path: Path):
    out = tmp_path / "n.safetensors"
    done = run("train", "--data", ragged, "--network", "lstm", "--units", 3, "--epochs", 3, "--out", out, "-q")
    assert done.exit_code == 0, done.stderr
    assert "‖∇W_i‖" in done.stdout
    d = data.load(str(ragged))
    net = data.recurrent_for(d, "lstm", units=3)
    found = eg.train(net, net.init(0), **d.training, epochs=3, validation=d.held_out, progress=False)
    loaded, params = eg.load(out)
    assert loaded == net
    for name, array in found.params.items():
        np.testing.assert_array_equal(params[name], array)
    content = json.loads(run("check", "--data", ragged, "--network", out, "--samples", 2, "--json", "-q").stdout)
    assert content["ok"] is True
    rows = {row["name"]: row for row in content["rows"]}
    assert {"h", "c", "f", "direct h"} <= set(rows)
    more = run("report", "--data", ragged, "--network", out, "--no-check", "--samples", 2, "--json", "-q")
    assert json.loads(more.stdout)["report"]["history"] == []


def test_a_batch_of_sequences_is_written_with_its_lengths(ragged: Path, tmp_path: Path):
    batch, mine = tmp_path / "b.npz", tmp_path / "mine.npz"
    options = ("--data", ragged, "--network", "elman", "--units", 3, "--samples", 4, "-q")
    assert run("check", *options, "--batch-out", batch).exit_code == 0
    with np.load(batch, allow_pickle=False) as arrays:
        given = dict(arrays)
    assert set(given) == {"x", "y", "lengths", "U", "W", "b", "V", "b_V"}
    net = eg.Recurrent(eg.Elman(2, 3), 3, lengths=True)
    g = eg.gradients(net, {n: given[n] for n in net.shapes}, given["x"], given["y"], given["lengths"])
    np.savez(mine, W=g["W"], h=g["h"])
    assert run("check", *options, "--gradients", mine).exit_code == 0
    np.savez(mine, W=g["W"], h=g.direct["h"])  # the direct gradient in the place of the total one
    done = run("check", *options, "--gradients", mine)
    assert done.exit_code == 3
    assert "The first in the backward sweep is h" in done.stdout


def test_shapes_of_a_recurrent_network():
    content = json.loads(run("shapes", "--network", "lstm", "--data", "digits-rows", "--units", 6, "--json").stdout)
    shapes = {q["name"]: (q["shape"], q["equation"]) for q in content["quantities"]}
    assert shapes["c"] == ([32, 8, 6], "c = f*c_prev + i*g")
    assert shapes["h_end"][0] == [32, 6]
    known = {(j["of"], j["wrt"]): j for j in content["jacobians"]}
    tensor = known["c", "W_f"]
    assert (tensor["structure"], tensor["stored"], tensor["entries"]) == ("weight", 12, 216)
    assert known["c", "c_prev"]["structure"] == "diagonal"
    assert ("c", "W_o") not in known  # the output gate comes after c


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("report", "--data", "digits-rows", "--network", "lsmt"), "Did you mean 'lstm'?"),
        (("report", "--data", "digits", "--network", "lstm"), "a recurrent network takes sequences"),
        (("report", "--data", "digits-rows", "--network", "lstm", "--hidden", "4"), "give one of them"),
        (("report", "--data", "digits-rows", "--network", "lstm", "--activation", "relu"), "lstm has its own"),
        (("report", "--data", "digits-rows", "--network", "elman", "--activation", "relu,tanh"), "one activation for"),
        (("report", "--data", "digits-rows", "--network", "64,10", "--read", "mean"), "--read: for a recurrent"),
        (("report", "--data", "digits-rows", "--network", "8,10"), "has 64 features and 10 classes"),
        (("report", "--data", "digits-rows", "--network", "gru", "--read", "first"), "unknown reading"),
        (("report", "--data", "digits-rows", "--network", "gru", "--units", "0"), "--units"),
        (("report", "--data", "digits-rows", "--network", "gru", "--epochs", "1,2"), "2 values for 1 network"),
        (("report", "--data", "wine", "--layers", "2"), "--layers: for a recurrent network"),
        (("train", "--data", "digits-rows", "--network", "gru", "--epochs", "1,2", "--out", "n"), "--epochs"),
        (("shapes", "--network", "gru"), "a recurrent network needs --data"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_told(arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code == 2, done.stdout
    assert message in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_data_that_only_a_recurrent_network_takes(ragged: Path, tmp_path: Path):
    done = run("report", "--data", ragged, "--network", "10,3", "--out", tmp_path / "r.html")
    assert done.exit_code == 2
    assert "its sequences have different lengths. Type --network elman" in done.stderr
    tokens = tmp_path / "tokens.npz"
    rng = np.random.default_rng(0)
    np.savez(tokens, x=rng.integers(0, 9, (30, 4)), y=rng.integers(0, 2, (30, 4)), lengths=np.full(30, 4))
    done = run("report", "--data", tokens, "--network", "4,2", "--out", tmp_path / "r.html")
    assert "its steps are tokens and its sequences have different lengths and its target is per step" in done.stderr
    done = run(
        "report", "--data", tokens, "--epochs", 1, "--units", 3, "--no-check", "-q", "--out", tmp_path / "r.html"
    )
    assert done.exit_code == 0, done.stderr
    assert "Held-out accuracy" in done.stdout


def test_a_saved_recurrent_network_that_does_not_fit(ragged: Path, tmp_path: Path):
    out = tmp_path / "n.safetensors"
    assert run("train", "--data", ragged, "--units", 2, "--epochs", 1, "--out", out, "-q").exit_code == 0
    for name, message in (
        ("wine", "it takes sequences, wine has rows of features"),
        ("digits-rows", "it takes 2 features at each step, digits-rows has 8, and it has 3 outputs, digits-rows needs"),
    ):
        done = run("check", "--data", name, "--network", out, "-q")
        assert done.exit_code == 2
        assert message in done.stderr
    assert run("check", "--data", ragged, "--network", out, "--units", 3).exit_code == 2
    alone = run("shapes", "--network", out)
    assert alone.exit_code == 2
    assert "say with --data what goes into it" in alone.stderr
