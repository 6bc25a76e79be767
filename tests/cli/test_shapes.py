import json
from pathlib import Path

import numpy as np
import pytest

import everygrad as eg
from everygrad.networks import GraphNetwork
from tests.cli.running import run


def test_every_shape_is_that_of_the_array():
    content = json.loads(run("shapes", "--network", "4,5,3", "--batch", 7, "--json").stdout)
    assert (content["schema"], content["version"], content["batch"]) == ("everygrad-shapes", 1, 7)
    net = eg.FeedForward([4, 5, 3])
    g = eg.gradients(net, net.init(0), np.ones((7, 4)), np.zeros(7, int))
    for q in content["quantities"]:
        assert tuple(q["shape"]) == g.trace[q["name"]].shape
        expected = None if q["name"] == "y" else list(g[q["name"]].shape)
        assert q["gradient_shape"] == expected
    assert [q["name"] for q in content["quantities"]] == [node.name for node in g.trace.nodes]


def test_every_jacobian_is_that_of_the_library():
    content = json.loads(run("shapes", "--network", "4,5,3", "--json").stdout)
    net = eg.FeedForward([4, 5, 3])
    params, x, y = net.init(0), np.ones((1, 4)), np.zeros(1, int)
    for j in content["jacobians"]:
        J = eg.jacobian(net, params, *((x, y) if j["of"] == "loss" else (x,)), of=j["of"], wrt=j["wrt"])
        dense = J.dense()
        own = dense.shape[len(J.batch) :]
        assert (*j["out_shape"], *j["in_shape"]) == own
        assert j["entries"] == int(np.prod(own))
    known = {(j["of"], j["wrt"]): (j["structure"], j["stored"]) for j in content["jacobians"]}
    assert known["a1", "W1"] == ("weight", 4)  # I ⊗ hᵀ: of 100 numbers, h alone is kept
    assert known["h1", "a1"] == ("diagonal", 5)
    assert known["a2", "h1"] == ("dense", 15)
    assert ("loss", "y") not in known


def test_the_table_has_the_equations():
    done = run("shapes", "--network", "13,8,1", "--loss", "squared_error", "--activation", "relu")
    assert done.exit_code == 0
    for words in ("a1 = W1 h0 + b1", "h1 = max(a1, 0)", "loss = squared_error(a2, y)", "8 × 8 × 13", "32 × 13"):
        assert words in done.stdout


def test_a_saved_network_and_data(flowers: Path, saved: Path):
    alone = json.loads(run("shapes", "--network", saved, "--json").stdout)
    fed = json.loads(run("shapes", "--network", saved, "--data", flowers, "--json").stdout)
    assert alone["quantities"] == fed["quantities"]
    assert json.loads(run("shapes", "--hidden", 5, "--data", flowers, "--json").stdout)["network"] == fed["network"]


def test_a_graph_of_ones_own_needs_data(flowers: Path, tmp_path: Path):
    def f(x, y, *, W, V):
        h = eg.ops.tanh(W @ x)
        z = V @ (h + h * h)
        return eg.ops.softmax_cross_entropy(z, y)

    path = tmp_path / "own.safetensors"
    net = GraphNetwork(eg.graph(f), "z", {"W": (5, 4), "V": (3, 5)})
    eg.save(path, net, {"W": np.ones((5, 4)), "V": np.ones((3, 5))})
    refused = run("shapes", "--network", path)
    assert refused.exit_code == 2
    assert "--data" in refused.stderr
    content = json.loads(run("shapes", "--network", path, "--data", flowers, "--json").stdout)
    shapes = {q["name"]: q["shape"] for q in content["quantities"]}
    assert (shapes["h"], shapes["z"], shapes["V"]) == ([32, 5], [32, 3], [3, 5])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "give --network"),
        (("--network", "10"), 2, "sizes"),
        (("--network", "4,x,3"), 2, "'x' in '4,x,3' is not a whole number"),
        (("--network", "4,0,3"), 2, "0 units"),
        (("--network", "4,-1,3"), 2, "-1 units"),
        (("--network", "4,99999999999,3"), 2, "99999999999 units"),
        (("--network", "4,5,3", "--loss", "squared_eror"), 2, "Did you mean 'squared_error'?"),
        (("--network", "4,5,3", "--activation", "relu,tanh"), 2, "2 activations for 1 hidden layers"),
        (("--hidden", "5"), 2, "--hidden needs --data"),
        (("--network", "missing.safetensors"), 4, "no such file"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], code: int, message: str):
    done = run("shapes", *arguments)
    assert (done.exit_code, done.stdout) == (code, "")
    assert message in done.stderr
