import json
import math
from pathlib import Path

import pytest

import everygrad as eg
from everygrad import data
from tests.cli.running import run

TWO = "y1 = x**2; y2 = x**3; z = log(y1*y2)"


def test_a_formula():
    done = run("paths", TWO, "--at", "x=2")
    assert done.exit_code == 0
    assert "dz/dx = 2.5 = 1 + 1.5" in done.stdout
    assert "x → y1 → z" in done.stdout
    assert done.stderr == ""


def test_a_third_path_adds():
    done = run("paths", "y1 = x**2; y2 = x**3; y3 = sin(x); z = log(y1*y2*y3)", "--at", "x=2", "--json")
    content = json.loads(done.stdout)
    assert (content["schema"], content["version"], content["count"]) == ("everygrad-paths", 1, 3)
    products = [path["product"] for path in content["paths"]]
    assert products == pytest.approx([1.0, 1.5, math.cos(2) / math.sin(2)], rel=1e-13)
    assert content["total"] == pytest.approx(sum(products), rel=1e-13)


def test_several_variables():
    done = run("paths", "z = a*b + a", "--at", "a=3, b=-2", "--wrt", "a", "--json")
    assert json.loads(done.stdout)["total"] == -1.0
    assert (
        json.loads(run("paths", "z = a*b", "--at", "a=3", "--at", "b=5", "--wrt", "b", "--json").stdout)["total"] == 3.0
    )


def test_variables_named_like_options():
    assert json.loads(run("paths", "z = k*of", "--at", "k=3,of=4", "--wrt", "k", "--json").stdout)["total"] == 4.0


def test_a_share_of_nothing_is_a_text():
    content = json.loads(run("paths", "z = x - x", "--at", "x=2", "--json").stdout, parse_constant=pytest.fail)
    assert content["total"] == 0
    assert [path["share"] for path in content["paths"]] == ["NaN", "NaN"]


def test_a_network(flowers: Path, saved: Path):
    done = run("paths", "--network", saved, "--data", flowers, "--unit", "h1[3]", "--sample", 2, "--k", 2, "--json")
    content = json.loads(done.stdout)
    net, params = eg.load(saved)
    d = data.load(str(flowers), seed=3)
    g = eg.gradients(net, params, d.x_test[:32], d.y_test[:32])
    assert content["total"] == pytest.approx(float(g["h1"][2, 3]), rel=1e-12)
    assert content["listed"] + content["remainder"] == pytest.approx(content["total"], rel=1e-12)
    assert (len(content["paths"]), content["count"]) == (2, 3)
    table = run("paths", "--network", saved, "--data", flowers, "--unit", "h1[3]", "--sample", 2, "--k", 2)
    assert "1 other path" in table.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "give a formula"),
        (("z = lag(x)", "--at", "x=1"), 2, "Did you mean 'log'?"),
        (("z = log(x)",), 2, "x"),
        (("z = log(x)", "--at", "x"), 2, "values look like --at x=2"),
        (("z = log(x)", "--at", "x=1,x=2"), 2, "given twice"),
        (("z = log(x)", "--at", "x=-1"), 5, "not finite"),
        (("z = __import__('os')", "--at", "x=1"), 2, "formula, line 1"),
        (("z = log(x)", "--at", "x=1", "--data", "wine"), 2, "--data are for a network"),
        (("z = log(x)", "--at", "x=1", "--k", "0"), 2, "--k"),
        (("--data", "wine"), 2, '--unit "h1[3]"'),
        (("--data", "wine", "--unit", "h9[0]"), 2, "'h9[0]' is not"),
        (("--data", "wine", "--unit", "h1[99]"), 2, "h1"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], code: int, message: str):
    done = run("paths", *arguments)
    assert (done.exit_code, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
