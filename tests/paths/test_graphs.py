"""Paths through any graph, against all paths found by recursion over dense local Jacobians."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import everygrad as eg
from everygrad import ops
from everygrad.checks.tolerance import assert_close
from everygrad.engines import kind_of
from everygrad.errors import InputError, TooLargeError
from everygrad.graph.arrange import Sum
from everygrad.graph.operation import Operation
from everygrad.graph.symbol import Builder
from everygrad.jacobians import Diagonal, Selection
from everygrad.paths import kbest, paths
from tests.paths.oracle import all_paths

B = 3


def skip(x, y, *, W1, b1, W2):
    h1 = ops.tanh(W1 @ x + b1)
    h2 = ops.sin(W2 @ h1) + h1  # a skip connection
    return ops.squared_error(h2 + x[0:2], y)


def tied(x, *, W1):
    a1 = W1 @ x
    a2 = ops.sigmoid(a1) @ W1  # the same weights, transposed
    return ops.squared_error(a2, x)  # x is the target too


def scalars(x, *, s, v):
    h = ops.exp(s * x) / (1.0 + v * v)  # a number against a vector, a vector shared by all samples
    n = ops.dot(h, h)  # one quantity twice in one operation
    r = n * x - h
    return ops.reduce(ops.sum(r))


def arranged(x, y, *, W1):
    h = ops.relu(W1 @ x)
    u = ops.concatenate(h[[1, 1, 0]], h[0], x)  # read twice, and once as a number
    return ops.squared_error(u, y)


def penalised(x, y, *, W1, c):
    loss = ops.squared_error(W1 @ x, y)
    p = ops.sum(W1 * W1)
    return loss + c * p  # through no sample


def shared_target(x, *, W1, t):
    return ops.squared_error(W1 @ x, t)  # a parameter that the reduction meets once for each sample


def feeding_back(x, y, *, W1):
    a = W1 @ x
    m = ops.squared_error(a, y)  # over all samples
    h = a * m  # back into each of them: samples mix
    return ops.reduce(ops.sum(h))


def scaled_weights(x, y, *, W1, s):
    return ops.squared_error((W1 * s) @ x, y)  # every element of the product is on the way


def each_sample(x, y, *, W1):
    return ops.squared_error(W1 @ x, y, reduction="none")


CASES = {
    skip: {"x": (B, 3), "y": (B, 2), "W1": (2, 3), "b1": (2,), "W2": (2, 2)},
    tied: {"x": (B, 3), "W1": (2, 3)},
    scalars: {"x": (B, 2), "s": (), "v": (2,)},
    arranged: {"x": (B, 2), "y": (B, 6), "W1": (2, 2)},
    penalised: {"x": (B, 2), "y": (B, 2), "W1": (2, 2), "c": ()},
    shared_target: {"x": (B, 2), "W1": (2, 2), "t": (2,)},
    feeding_back: {"x": (2, 2), "y": (2, 2), "W1": (2, 2)},
    scaled_weights: {"x": (B, 2), "y": (B, 2), "W1": (2, 2), "s": ()},
    each_sample: {"x": (B, 2), "y": (B, 2), "W1": (2, 2)},
}


def arrays(function, seed=0):
    rng = np.random.default_rng(seed)
    values = {name: np.asarray(rng.normal(size=shape)) for name, shape in CASES[function].items()}
    data = [values.pop(name) for name in ("x", "y") if name in values]
    return eg.graph(function), values, data


def steps_of(trace, p, path):
    """A path's units as (name, flat index)."""
    flat = []
    for name, *index in path.units[1:]:
        shape = trace[name].shape[trace.graph.by_name[name].lead :]
        flat.append((name, int(np.ravel_multi_index(index, shape)) if shape else 0))
    return tuple(flat)


@pytest.mark.parametrize("function", CASES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("k", [1, 4, 10_000])
def test_every_quantity_of_every_graph(function, k):
    graph, params, data = arrays(function)
    g = eg.gradients(graph, params, *data)
    trace, tested = g.trace, 0
    for name, gradient in g.items():
        node = graph.by_name[name]
        shape = gradient.shape[node.lead :]
        index = tuple(n - 1 for n in shape)
        flat = int(np.ravel_multi_index(index, shape)) if shape else 0
        for sample in (1,) if node.lead else (None, 1):
            p = paths(graph, params, *data, wrt=(name, *index), k=k, sample=sample)
            expected = all_paths(trace, name, flat, sample)
            values = sorted((v for _, v in expected), key=abs, reverse=True)
            assert p.count == len(expected), (name, sample)
            assert len(p.paths) == min(k, p.count)
            found = np.array([abs(q.product) for q in p.paths])
            assert_close(found, np.array([abs(v) for v in values[:k]]), tol=1e-12, name=f"{name}, sample {sample}")
            assert_close(np.array(p.total), np.array(math.fsum(values)), tol=1e-11, name=f"{name}, sample {sample}")
            assert_close(np.array(p.mass), np.array(math.fsum(map(abs, values))), tol=1e-12)
            if sample is None or node.lead:
                own = gradient[sample] if node.lead else gradient
                assert_close(np.array(p.total), np.array(own[index]))
            assert_close(np.array(p.listed + p.remainder), np.array(p.total))
            if k > len(expected):
                theirs = sorted((tuple((s[0], s[1]) for s in steps), round(v, 9)) for steps, v in expected)
                assert sorted((steps_of(trace, p, q), round(q.product, 9)) for q in p.paths) == theirs
                readable = [(q.units, q.sample, q.note) for q in p.paths]
                assert len(set(readable)) == len(readable), f"two paths from {name} read the same"
            tested += 1
    assert tested > 3


def test_a_penalty_is_in_no_samples_part():
    graph, params, data = arrays(penalised)
    whole = paths(graph, params, *data, wrt=("W1", 0, 1), k=100)
    parts = [paths(graph, params, *data, wrt=("W1", 0, 1), sample=b) for b in range(B)]
    assert_close(np.array(whole.total - sum(p.total for p in parts)), 2 * params["c"] * params["W1"][0, 1], tol=1e-12)
    assert whole.count == sum(p.count for p in parts) + 2
    assert [q.sample for q in whole.paths].count(None) == 2


def test_paths_that_share_their_units_are_told_apart():
    graph, params, data = arrays(scalars)
    p = paths(graph, params, *data, wrt=("h", 0), sample=2)
    notes = {q.note for q in p.paths if ("n",) in q.units}
    assert notes == {"operand 1 of n", "operand 2 of n"}


def test_a_constant_and_an_end_without_samples():
    graph, params, data = arrays(scalars)
    constant = next(n.name for n in graph.nodes if n.role == "constant")
    with pytest.raises(InputError, match="is a constant"):
        paths(graph, params, *data, wrt=constant)
    assert paths(graph, params, *data, wrt="s", of="loss").count > 0


def test_ten_thousand_steps():
    """In a process of its own, where no annotation is checked at each of many thousand calls."""
    root = Path(__file__).parents[2]
    code = "from tests.paths.deep import main; main()"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    plain, skipping = json.loads(run.stdout)
    assert plain["units"] == 10_002
    assert plain["count"] == 1
    assert_close(np.array(plain["product"]), np.array(plain["total"]), tol=1e-12)
    assert "more ..." in plain["text"]
    assert skipping["count"] == "about 10^1505"  # 2^5000
    slopes, h = [], 0.3
    for _ in range(5000):
        slopes.append(1 - math.tanh(h) ** 2)
        h += math.tanh(h)
    assert_close(np.array(skipping["products"]), np.array([1.0, slopes[0], slopes[1]]))
    assert "about 10^1505 paths" in skipping["text"]


def test_products_that_underflow_are_still_ranked():
    """Factors of 1e-8 and 2e-8 in each of 60 steps: floating point cannot hold any product."""
    builder = Builder()
    h, s, t = builder.given("x", "data"), builder.given("s", "parameter"), builder.given("t", "parameter")
    for _ in range(60):
        h = h * s + h * t
    graph = builder.graph(builder.apply(Sum(), h, name="loss"))
    params = {"s": np.asarray(1e-8), "t": np.asarray(-2e-8)}
    p = paths(graph, params, np.ones((1, 1)), wrt=("x", 0), k=61)
    assert p.total == 0.0
    assert p.count == 2**60
    assert_close(np.array(p.paths[0].log10), np.array(60 * math.log10(2e-8)))
    assert [sum(f == 1e-8 for f in q.factors) for q in p.paths] == [0] + [1] * 60
    assert all(math.isnan(q.share) for q in p.paths)
    assert " 10^-461.9" in str(p)
    assert "-10^-462.2" in str(p)
    # and the other way round: the factors behind the start overflow, the products do not
    params = {"s": np.asarray(1e6), "t": np.asarray(1e6)}
    graph = builder.graph(builder.apply(Sum(), 1e-300 * h, name="total"))
    p = paths(graph, params, np.full((1, 1), 1e-300), wrt=("x", 0), k=2)
    assert_close(np.array([q.product for q in p.paths]), np.array([1e60, 1e60]), tol=1e-12)
    assert p.mass == pytest.approx(2.0**60 * 1e60, rel=1e-12)


@pytest.mark.parametrize("n", range(95, 106))
def test_long_and_short_paths_are_ranked_together(n):
    """Past n factors of 1e-8, or straight on: the powers of two of the two sides must be aligned."""
    builder = Builder()
    x, s = builder.given("x", "data"), builder.given("s", "parameter")
    h = x
    for _ in range(n):
        h = h * s
    graph = builder.graph(builder.apply(Sum(), 3.0 * h + x, name="loss"))
    p = paths(graph, {"s": np.asarray(1e-8)}, np.ones((1, 1)), wrt=("x", 0), k=2)
    assert [q.product for q in p.paths] == [1.0, 0.0]
    assert_close(np.array(p.paths[1].log10), np.array(math.log10(3) - 8 * n))
    assert p.mass == 1.0
    p = paths(graph, {"s": np.asarray(1e8)}, np.full((1, 1), 1e-300), wrt=("x", 0), k=2, of=f"{_nth(graph, 30)}[0]")
    assert_close(np.array(p.mass), np.array(1e240), tol=1e-12)


def _nth(graph, n):
    """The n-th product with s."""
    return [node.name for node in graph.nodes if "s" in node.inputs][n - 1]


class Doubled(Operation):
    """y = 2 h + h[reversed]: a local Jacobian that is a sum, which is read entry by entry."""

    name = "doubled"

    def shape(self, shapes, leads):
        return shapes[0]

    def value(self, xs, leads):
        return 2.0 * xs[0] + xs[0] * xs[0][..., ::-1]

    def local(self, slot, xs, y, leads):
        n = y.shape[-1]
        reverse = Selection(kind_of(y), np.arange(n)[::-1].copy(), (n,))
        return Diagonal(2.0 + xs[0][..., ::-1]) + Diagonal(xs[0]) @ reverse

    def formula(self, *operands):
        return f"doubled({operands[0]})"

    def local_formula(self, slot, *operands):
        return "?"


def users_own(x, y, *, W1):
    h = ops.apply(Doubled(), W1 @ x)
    return ops.squared_error(h, y)


def test_an_operation_of_the_users_own():
    CASES[users_own] = {"x": (B, 2), "y": (B, 3), "W1": (3, 2)}
    try:
        test_every_quantity_of_every_graph(users_own, 10_000)
    finally:
        del CASES[users_own]


def test_too_much_to_keep_is_said(monkeypatch):
    graph, params, data = arrays(scaled_weights)
    monkeypatch.setattr(kbest, "MOST", 5)
    with pytest.raises(TooLargeError, match="paths to keep, the limit is 5"):
        paths(graph, params, *data, wrt="s")
