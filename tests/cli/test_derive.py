"""``everygrad derive``."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import everygrad as eg
from tests.cli.running import run


def test_a_formula():
    done = run("derive", "y1 = x**2; y2 = x**3; z = log(y1*y2)", "--at", "x=2", "--wrt", "x")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == eg.derive("y1 = x**2; y2 = x**3; z = log(y1*y2)", "x", x=2.0).to_text()
    assert done.stdout.splitlines()[-1].startswith("Check: the complex step gives ∂z/∂x = 2.5, agrees")


@pytest.mark.parametrize(
    ("arguments", "network", "wrt", "options"),
    [
        (("--network", "4-3-2", "h1[2]"), eg.FeedForward([4, 3, 2]), "h1[2]", {}),
        (("--network", "4,3,2", "--activation", "relu"), eg.FeedForward([4, 3, 2], "relu"), None, {}),
        (
            ("--network", "3,2,2", "--activation", "relu", "--loss", "squared_error", "--exact", "W2[0,1]"),
            eg.FeedForward([3, 2, 2], "relu", "squared_error"),
            "W2[0,1]",
            {"exact": True},
        ),
        (
            ("--network", "lstm", "--steps", 4, "--samples", 2, "--sample", 1, "c[1]"),
            eg.Recurrent(eg.LSTM(2, 3), 2),
            "c[1]",
            {"steps": 4, "samples": 2, "sample": 1},
        ),
        (
            ("--network", "elman", "--units", 2, "--seed", 5, "--numbers", "init", "--of", "h[1,0]", "W[0,1]"),
            eg.Recurrent(eg.Elman(2, 2), 2),
            "W[0,1]",
            {"seed": 5, "numbers": "init", "of": "h[1,0]"},
        ),
        (
            ("--network", "gru", "--read", "each", "--layers", 2, "--bidirectional", "h_l0[1]"),
            eg.Recurrent(eg.GRU(2, 3), 2, "each", 2, True),
            "h_l0[1]",
            {},
        ),
    ],
    ids=["unit", "whole", "exact", "lstm", "elman", "gru"],
)
def test_networks(arguments, network, wrt, options):
    done = run("derive", *arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == eg.derive(network, wrt, **options).to_text()


def test_forms_and_files(tmp_path: Path):
    d = eg.derive(eg.FeedForward([2, 2]), "W1[0,1]")
    forms = {"text": d.to_text(), "markdown": d.to_markdown(), "latex": d.to_latex(), "html": d.to_html()}
    for form, expected in forms.items():
        assert run("derive", "--network", "2,2", "W1[0,1]", "--as", form).stdout == expected
        path = tmp_path / form
        done = run("derive", "--network", "2,2", "W1[0,1]", "--as", form, "--out", path)
        assert (done.exit_code, done.stdout) == (0, "")
        assert f"Written: {path}" in done.stderr
        assert path.read_text("utf-8") == expected
    ET.fromstring(re.sub(r"<!DOCTYPE html>|<meta[^>]*>", "", forms["html"]))


def test_json():
    done = run("derive", "--network", "2,2", "W1[0,1]", "--json")
    document = json.loads(done.stdout)
    d = eg.derive(eg.FeedForward([2, 2]), "W1[0,1]")
    assert document["schema"] == "everygrad-derive"
    assert document["title"] == "∂L/∂W1[0,1]"
    assert document["value"] == pytest.approx(float(d.value), rel=1e-15)
    assert document["ok"] is True
    assert document["text"] == d.to_text()
    done = run("derive", "--network", "2,2", "--activation", "relu", "--loss", "squared_error", "--exact", "--json")
    assert isinstance(json.loads(done.stdout)["value"]["b1"][0], str)


def test_a_saved_network_with_data_and_without(flowers: Path, saved: Path):
    done = run("derive", "--network", saved, "--data", flowers, "--samples", 4, "--sample", 2, "h1[3]")
    assert done.exit_code == 0, done.stderr
    assert "The batch has 4 samples; shown is sample 2" in " ".join(done.stdout.split())
    assert "No data were given" not in " ".join(done.stdout.split())
    done = run("derive", "--network", saved, "h1[3]")
    assert done.exit_code == 0, done.stderr
    assert "No data were given" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "give a formula"),
        (("h1[2]",), 2, "give a formula"),
        (("--network", "4,3,2", "h1[7]"), 2, "has the shape (3,)"),
        (("--network", "4,3,2", "h1", "--wrt", "a1"), 2, "given twice"),
        (("--network", "4,3,2", "h1", "--at", "x=1"), 2, "--at is for a formula"),
        (("--network", "4,3,2", "--units", "3"), 2, "for a recurrent network"),
        (("--network", "lstm", "--activation", "relu"), 2, "--activation is for an elman cell"),
        (("--network", "4,3,2", "--hidden", "3"), 2, "--hidden needs --data"),
        (("--network", "4,3,2", "--exact"), 2, "leave exact out"),
        (("z = x", "--at", "x=1", "--network", "4,3,2"), 2, "--network are for a network"),
        (("z = x", "--at", "x=one"), 2, "is not a name and a number"),
        (("z = x", "--at", "x=1", "--as", "pdf"), 2, "unknown form 'pdf'"),
        (("z = log(x)", "--at", "x=0"), 5, "'z' is not finite"),
        (("z = x", "--at", "x=1", "--out", "/nowhere/at/all.txt"), 4, "/nowhere/at/all.txt"),
        (("--network", "missing.safetensors", "h1"), 4, "missing.safetensors"),
    ],
    ids=lambda x: x if isinstance(x, str) else None,
)
def test_bad_arguments(arguments, code: int, message: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("derive", *arguments)
    assert (done.exit_code, done.stdout) == (code, ""), done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_wrong_gradient_is_code_3(monkeypatch: pytest.MonkeyPatch):
    from everygrad.graph.elementwise import RULES

    row = RULES["tanh"]
    fields = {name: getattr(row, name) for name in row.__dataclass_fields__}
    monkeypatch.setitem(RULES, "tanh", type(row)(**{**fields, "derivative": lambda a, h: 1.0 - 0.9 * h * h}))
    done = run("derive", "--network", "3,2,2", "a1")
    assert done.exit_code == 3
    assert "DOES NOT AGREE" in done.stdout.splitlines()[-1]
