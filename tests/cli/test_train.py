import json
from pathlib import Path

import numpy as np
import pytest

import everygrad as eg
from everygrad import data, files
from tests.cli.running import run


def test_what_is_saved_is_what_the_library_trains(flowers: Path, saved: Path):
    d = data.load(str(flowers), seed=3)
    net = eg.FeedForward([4, 5, 3])
    found = eg.train(
        net, net.init(3), d.x_train, d.y_train, epochs=8, validation=(d.x_test, d.y_test), seed=3, progress=False
    )
    loaded, params = eg.load(saved)
    assert str(loaded) == str(net)
    for name, array in found.params.items():
        np.testing.assert_array_equal(params[name], array)
    notes = files.read(saved).notes
    assert (notes["seed"], notes["best_epoch"], notes["classes"]) == (3, found.best_epoch, ["kind0", "kind1", "kind2"])


def test_the_history_is_a_table(flowers: Path, tmp_path: Path):
    done = run("train", "--data", flowers, "--hidden", "5", "--epochs", 3, "--out", tmp_path / "n.safetensors")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    head = next(i for i, line in enumerate(lines) if line.lstrip().startswith("epoch "))
    assert "‖∇W2‖" in lines[head]
    assert [line.split()[0] for line in lines[head + 2 : head + 5]] == ["1", "2", "3"]
    assert "Written:" in lines[-1]
    assert "epoch 3: loss" in done.stderr


def test_json(flowers: Path, tmp_path: Path):
    out = tmp_path / "n.safetensors"
    done = run("train", "--data", flowers, "--hidden", "5", "--epochs", 3, "--out", out, "--json", "-q")
    content = json.loads(done.stdout)
    assert (content["schema"], content["version"]) == ("everygrad-train", 1)
    assert [row["epoch"] for row in content["history"]] == [1, 2, 3]
    assert content["interrupted"] is False
    best = content["history"][content["best_epoch"] - 1]
    assert content["held_out"]["accuracy"] == pytest.approx(best["validation_accuracy"])
    assert content["held_out"]["loss"] == pytest.approx(best["validation_loss"], rel=1e-12)
    assert done.stderr == ""


def test_resume_is_bitwise(flowers: Path, tmp_path: Path):
    common = ("train", "--data", flowers, "--hidden", "5", "-q")
    kept = (*common, "--checkpoint", tmp_path / "c", "--out", tmp_path / "n.safetensors")
    assert run(*kept, "--epochs", 2).exit_code == 0
    again = run(*kept, "--epochs", 5)
    assert again.exit_code == 2
    assert "--resume goes on with it" in again.stderr
    assert run(*kept, "--epochs", 5, "--resume").exit_code == 0
    assert run(*common, "--epochs", 5, "--out", tmp_path / "whole.safetensors").exit_code == 0
    resumed, whole = eg.load(tmp_path / "n.safetensors")[1], eg.load(tmp_path / "whole.safetensors")[1]
    for name, array in whole.items():
        np.testing.assert_array_equal(resumed[name], array)


def test_a_network_trained_on_other_rows_stays_marked(flowers: Path, saved: Path, tmp_path: Path):
    out = tmp_path / "n.safetensors"
    again = ("train", "--data", flowers, "--network", saved, "--epochs", 1, "-q", "--out", out)
    assert "not known" not in run(*again).stdout
    assert files.read(out).notes["held_out_unseen"] is True
    assert "is not known" in run(*again, "--seed", 4).stdout
    assert files.read(out).notes["held_out_unseen"] is False
    assert (
        "is not known"
        in run("report", "--data", flowers, "--network", out, "--no-check", "--out", tmp_path / "r").stdout
    )


def test_divergence_is_code_5_and_keeps_the_best_epoch(tmp_path: Path):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(64, 3))
    np.savez(tmp_path / "d.npz", x=x, y=x @ [1.0, -2.0, 0.5])
    out = tmp_path / "n.safetensors"
    options = ("--hidden", "none", "--optimizer", "sgd", "--batch-size", 8, "--epochs", 100, "--learning-rate", 3)
    done = run("train", "--data", tmp_path / "d.npz", *options, "--out", out, "-q")
    assert done.exit_code == 5
    assert "is not finite" in done.stderr
    assert f"is in {out}" in done.stderr
    assert np.isfinite(eg.load(out)[1]["W1"]).all()


def test_the_target_is_remembered_for_the_same_data_only(flowers: Path, tmp_path: Path):
    out = tmp_path / "n.safetensors"
    done = run("train", "--data", flowers, "--target", "a", "--hidden", "5", "--epochs", 1, "--out", out, "-q")
    assert done.exit_code == 4  # then the kinds, which are text, are a feature
    assert "'kind0'" in done.stderr
    words = tmp_path / "words.csv"
    words.write_text("\n".join(["kind,u,v", *(f"k{i % 2},{i % 7}.5,{i % 2}.25" for i in range(40))]) + "\n", "utf-8")
    assert run("train", "--data", words, "--target", "kind", "--epochs", 1, "--out", out, "-q").exit_code == 0
    again = run("check", "--data", words, "--network", out, "--samples", 2, "-q")
    assert again.exit_code == 0, again.stderr
    other = run("check", "--data", "wine", "--network", out, "-q")
    assert "takes 2 features, wine has 13" in other.stderr
