"""What can be walked through: paths against `eg.paths`, values and gradients against the passes, terms against sums."""

import dataclasses
import json
import math
from itertools import pairwise

import jsonschema
import numpy as np
import pytest

import everygrad as eg
from everygrad import report
from everygrad.checks.tolerance import assert_close
from everygrad.report import explore_layers, explore_steps
from everygrad.report.explore import explore
from everygrad.report.explore_record import Explore, ExploredLayer, ExploredQuantity, ExploredSteps
from everygrad.report.picture import picture
from tests.report.cases import made


def explored(net, params, *data, check_finite=True, classes=()) -> tuple[Explore, eg.Gradients]:
    g = eg.gradients(net, params, *data, check_finite=check_finite)
    found = explore(g, picture(g), classes)
    assert found is not None
    return found, g


def classification(sizes, samples=9, seed=0, **options):
    rng = np.random.default_rng(seed)
    net = eg.FeedForward(sizes, **options)
    return net, net.init(seed), rng.normal(size=(samples, sizes[0])), rng.integers(0, sizes[-1], samples)


def summed(x, y, *, W1, s, W2, b2):
    """A chain whose biases are operations of their own, and one of whose layers has two activations."""
    a1 = W1 @ x
    a = a1 + s
    h1 = eg.ops.sigmoid(eg.ops.tanh(a))
    a2 = W2 @ h1 + b2
    return eg.ops.squared_error(a2, y)


def each_its_own(x, y, *, W1, W2):
    """A chain whose loss is a number of each sample."""
    h1 = eg.ops.tanh(W1 @ x)
    return eg.ops.squared_error(W2 @ h1, y, reduction="none")


def spread(x, y, *, W1, s, W2):
    """A chain in which one unit becomes several, without a weight."""
    h1 = eg.ops.tanh(W1 @ x + s)
    return eg.ops.squared_error(W2 @ h1, y)


def chains():
    rng = np.random.default_rng(3)
    yield "classes", classification([7, 6, 5, 4])
    yield "wide", classification([40, 45, 3], samples=20)
    yield "one unit", classification([1, 1, 1, 2], samples=3)
    yield "one sample", classification([3, 4, 2], samples=1)
    yield "no hidden layer", classification([5, 3])
    yield "relu", classification([5, 8, 8, 3], activation="relu")
    regression = eg.FeedForward([4, 5, 1], loss="squared_error")
    yield "regression", (regression, regression.init(1), rng.normal(size=(6, 4)), rng.normal(size=(6, 1)))
    weights = {"W1": rng.normal(size=(4, 3)), "s": rng.normal(size=4), "W2": rng.normal(size=(2, 4)), "b2": np.ones(2)}
    both = {name: weights[name] for name in ("W1", "W2")}
    yield "each", (eg.graph(each_its_own), both, rng.normal(size=(5, 3)), rng.normal(size=(5, 2)))
    yield "sums", (eg.graph(summed), weights, rng.normal(size=(5, 3)), rng.normal(size=(5, 2)))


CHAINS = dict(chains())


@pytest.mark.parametrize("kind", CHAINS)
def test_paths_are_those_of_the_search(kind):
    net, params, *data = CHAINS[kind]
    found, g = explored(net, params, *data)
    assert len(found.layers) > 1
    assert found.steps == ()
    for layer in found.layers:
        paths = layer.paths
        assert paths is not None
        k = paths.products.shape[2]
        for s, sample in enumerate(found.samples):
            for u, unit in enumerate(layer.shown[:6]):
                known = eg.paths(net, params, *data, wrt=(layer.name, unit), sample=sample.index, k=k)
                there = ~np.isnan(paths.products[s, u])
                assert paths.count == str(known.count)
                assert there.sum() == len(known.paths)
                assert len(known.paths) in (k, known.count)
                for j, path in enumerate(known.paths):
                    assert paths.products[s, u, j] == path.product
                    assert tuple(paths.factors[s, u, j]) == path.factors
                    met = [
                        (name,) if at < 0 else (name, paths.units[s, u, j, at])
                        for name, at in zip(paths.way, paths.at, strict=True)
                    ]
                    assert [(layer.name, unit), *met] == list(path.units)
                assert_close(paths.remainder[s, u], known.remainder, 1e-13 * max(1.0, known.mass))
                total = math.fsum([*paths.products[s, u][there], paths.remainder[s, u]])
                assert_close(total, np.asarray(g[layer.name])[sample.index, unit])


@pytest.mark.parametrize("kind", CHAINS)
def test_the_units_of_a_path_are_drawn_where_they_are_said_to_be(kind):
    net, params, *data = CHAINS[kind]
    found, _ = explored(net, params, *data)
    for i, layer in enumerate(found.layers):
        assert layer.paths is not None
        assert [hop.layer for hop in layer.paths.hops] == list(range(i + 1, len(found.layers)))
        for hop in layer.paths.hops:
            assert found.layers[hop.layer].name == hop.name
            assert found.layers[hop.layer].units > layer.paths.units[..., layer.paths.hops.index(hop)].max() >= 0


@pytest.mark.parametrize("kind", CHAINS)
def test_values_and_gradients_are_those_of_the_passes(kind):
    net, params, *data = CHAINS[kind]
    found, g = explored(net, params, *data)
    columns = picture(g).columns
    rows = [sample.index for sample in found.samples]
    assert [(c.name, c.units, c.shown) for c in columns] == [(e.name, e.units, e.shown) for e in found.layers]
    for layer in found.layers:
        at = np.ix_(rows, layer.shown)
        np.testing.assert_array_equal(layer.h, g.trace[layer.name][at])
        np.testing.assert_array_equal(layer.grad_h, g[layer.name][at])
        if layer.before:
            np.testing.assert_array_equal(layer.a, g.trace[layer.before][at])
            np.testing.assert_array_equal(layer.grad_a, g[layer.before][at])
            assert_close(layer.slope * layer.grad_h, layer.grad_a)
        else:
            assert (layer.a, layer.slope, layer.grad_a) == (None, None, None)


def test_formulas_of_a_unit_hold_with_its_numbers():
    net, params, x, y = CHAINS["classes"]
    found, _ = explored(net, params, x, y)
    layer: ExploredLayer = found.layers[1]
    affine, value, from_above, local = layer.formulas
    assert affine == "a1[{unit}] = Σ_r W1[{unit}, r] · h0[r] + b1[{unit}] = {a}"
    assert value == "h1[{unit}] = tanh(a1[{unit}]) = tanh({a}) = {h}"
    assert from_above == "∂loss/∂h1[{unit}] = Σ_q W2[q, {unit}] · ∂loss/∂a2[q] = {grad_h}"
    assert local == "∂loss/∂a1[{unit}] = tanh′(a1[{unit}]) · ∂loss/∂h1[{unit}] = {slope} · {grad_h} = {grad_a}"
    rows = [sample.index for sample in found.samples]
    W, b = params["W1"], params["b1"]
    assert_close(layer.a, np.array([[x[i] @ W[u] + b[u] for u in layer.shown] for i in rows]))
    assert_close(layer.h, np.tanh(layer.a))
    assert_close(layer.slope, 1 / np.cosh(layer.a) ** 2)
    last = found.layers[-1]
    assert last.formulas == (
        "a3[{unit}] = Σ_r W3[{unit}, r] · h2[r] + b3[{unit}] = {h}",
        "∂loss/∂a3[{unit}] = {grad_h}",
    )
    assert found.layers[0].formulas[0] == "h0[{unit}] = {h}"


def test_samples_are_spread_over_the_classes_and_say_what_they_are():
    net, params, x, _ = classification([5, 4, 3], samples=60)
    y = np.repeat([0, 1, 2], 20)
    found, g = explored(net, params, x, y, classes=["cat", "<dog>", "eel"])
    rows = [sample.index for sample in found.samples]
    assert [int((y[rows] == c).sum()) for c in range(3)] == [2, 2, 2]
    assert rows == sorted(set(rows))
    z = g.trace["a2"]
    for sample in found.samples:
        i = sample.index
        assert sample.label == ["cat", "<dog>", "eel"][y[i]]
        assert sample.predicted == ["cat", "<dog>", "eel"][int(z[i].argmax())]
        assert_close(sample.loss, np.log(np.exp(z[i]).sum()) - z[i, y[i]])
    assert found.note == "6 of 60 samples, from all of the batch"


def test_targets_of_other_losses_in_words():
    rng = np.random.default_rng(0)
    net = eg.FeedForward([3, 1], loss="binary_cross_entropy")
    params, x, y = net.init(0), rng.normal(size=(4, 3)), np.array([0.0, 1.0, 1.0, 0.0])
    found, g = explored(net, params, x, y)
    assert [s.label for s in found.samples] == ["0", "1", "1", "0"]
    assert [s.predicted for s in found.samples] == [str(int(z > 0)) for z in g.trace["a1"][:, 0]]
    net = eg.FeedForward([3, 1], loss="squared_error")
    found, g = explored(net, params, x, np.array([0.25, 1.0, 1.0, 0.0])[:, None])
    assert [s.label for s in found.samples] == ["0.25", "1", "1", "0"]
    assert [s.predicted for s in found.samples] == [f"{z:.4g}" for z in g.trace["a1"][:, 0]]
    assert_close(found.samples[0].loss, float((g.trace["a1"][0, 0] - 0.25) ** 2))


def test_numbers_that_are_not_finite_stay_and_have_no_paths():
    net, params, x, y = CHAINS["classes"]
    params = {**params, "W2": np.full_like(params["W2"], np.nan)}
    found, _ = explored(net, params, x, y, check_finite=False)
    assert all(layer.paths is None for layer in found.layers)
    assert "not finite" in found.note
    assert np.isnan(found.layers[1].grad_h).all()
    assert np.isfinite(found.layers[1].h).all()


def test_a_long_chain_is_bounded_and_says_so():
    net, params, x, y = classification([6, *[8] * 60, 3], samples=30)
    found, _ = explored(net, params, x, y)
    assert len(found.layers) == 12
    listed = [layer for layer in found.layers if layer.paths is not None]
    assert [layer.name for layer in listed] == [layer.name for layer in found.layers[-len(listed) :]]
    assert 1 <= len(listed) < 12
    assert f"paths of the last {len(listed)} of 12 layers" in found.note
    assert max(len(layer.paths.way) for layer in listed) <= explore_layers.MOST_WAY
    assert sum(layer.paths.factors.size for layer in listed) <= explore_layers.MOST_FACTORS
    assert listed[0].paths.hops[-1].layer == 11


def test_a_wide_chain_is_searched_as_far_as_there_is_time(monkeypatch):
    net, params, x, y = CHAINS["wide"]
    monkeypatch.setattr(explore_layers, "MOST_READS", 45 * 3 + 45 + 3)
    found, _ = explored(net, params, x, y)
    assert len(found.samples) == 1
    assert [layer.paths is not None for layer in found.layers] == [False, True, True]
    one = eg.paths(net, params, x, y, wrt=("h1", found.layers[1].shown[0]), sample=found.samples[0].index, k=3)
    assert [p.product for p in one.paths] == list(found.layers[1].paths.products[0, 0])
    monkeypatch.setattr(explore_layers, "MOST_READS", 0)
    found, _ = explored(net, params, x, y)
    assert all(layer.paths is None for layer in found.layers)
    assert "too many weights" in found.note


def test_torch_and_float32():
    torch = pytest.importorskip("torch")
    net, params, x, y = CHAINS["classes"]
    known, _ = explored(net, params, x, y)
    given = {name: torch.tensor(p) for name, p in params.items()}
    found, _ = explored(net, given, torch.tensor(x), torch.tensor(y))
    for layer, other in zip(found.layers, known.layers, strict=True):
        assert_close(layer.paths.products, other.paths.products, 1e-12)
        assert_close(layer.paths.remainder, other.paths.remainder, 1e-12)
        np.testing.assert_array_equal(layer.paths.units, other.paths.units)
    small = {name: p.astype(np.float32) for name, p in params.items()}
    found, _ = explored(net, small, x.astype(np.float32), y)
    for layer, other in zip(found.layers, known.layers, strict=True):
        assert layer.h.dtype == layer.paths.products.dtype == np.float64
        assert_close(layer.grad_h, other.grad_h, 1e-5)


def test_other_graphs_have_none():
    assert made("skip").explore is None
    rng = np.random.default_rng(0)
    params = {"W1": rng.normal(size=(1, 3)), "s": rng.normal(size=4), "W2": rng.normal(size=(2, 4))}
    graph = eg.graph(spread)
    found = report.build(graph, eg.gradients(graph, params, rng.normal(size=(5, 3)), rng.normal(size=(5, 2))))
    assert found.explore is None
    assert found.picture.kind == "boxes"


# Over time


def leaky(x, states, parameters):
    p = parameters
    a = p.U @ x + p.b + p.W @ states.h
    return 0.9 * states.h + 0.1 * eg.ops.tanh(a)


def own(inputs=2, units=4):
    shapes = {"U": (units, inputs), "b": (units,), "W": (units, units)}
    return eg.Cell(leaky, inputs=inputs, states={"h": units}, parameters=shapes)


def delayed(x, states, parameters):
    """Two states, one of which is the other one step later; what one product makes goes two ways."""
    p = parameters
    product = (lambda made: lambda: made)(p.W @ states.h)  # no local variable: it has no name of its own
    a = p.U @ x + product() + p.R @ states.m
    z = eg.ops.sigmoid(product())
    h = z * eg.ops.tanh(a) + states.m * states.h
    return {"h": h, "m": states.h}


def two_states():
    shapes = {"U": (3, 2), "W": (3, 3), "R": (3, 3)}
    return eg.Cell(delayed, inputs=2, states={"h": 3, "m": 3}, parameters=shapes)


def networks():
    yield "two states", eg.Recurrent(two_states(), outputs=2, lengths=True, read="mean")
    yield "elman", eg.Recurrent(eg.Elman(2, 5), outputs=3)
    yield "lstm", eg.Recurrent(eg.LSTM(2, 4), outputs=3, read="each")
    yield "gru", eg.Recurrent(eg.GRU(2, 4), outputs=3, read="mean")
    yield "own", eg.Recurrent(own(), outputs=3, read="each")
    yield "one unit", eg.Recurrent(eg.LSTM(2, 1), outputs=2)
    yield "ragged", eg.Recurrent(eg.LSTM(2, 4), outputs=3, lengths=True)
    yield "ragged each", eg.Recurrent(eg.GRU(2, 4), outputs=3, lengths=True, read="each", bidirectional=True)
    yield "masked", eg.Recurrent(eg.LSTM(2, 3), outputs=3, lengths="mask", read="each", bidirectional=True)
    yield "stacked", eg.Recurrent(eg.LSTM(2, 3), outputs=3, layers=2, bidirectional=True)
    yield "many layers", eg.Recurrent(eg.Elman(2, 3), outputs=3, layers=6)
    yield "initial", eg.Recurrent(eg.GRU(2, 3), outputs=2, initial=True)
    yield "long", eg.Recurrent(eg.Elman(2, 20), outputs=3, read="each")


NETWORKS = dict(networks())


def given(net, samples=5, steps=7, seed=0):
    rng = np.random.default_rng(seed)
    data = [rng.normal(size=(samples, steps, 2))]
    data.append(rng.integers(0, net.outputs, (samples, steps) if net.read == "each" else samples))
    if net.lengths is True:
        data.append(np.array([steps, 1, steps - 2, 3, steps])[:samples])
    if net.lengths == "mask":
        data.append(rng.random((samples, steps)) < 0.6)
        data[-1][:, 3] = True
    if net.initial:
        data.append(rng.normal(size=(samples, 3)))
    return net.init(seed), *data


def over_time(kind):
    net = NETWORKS[kind]
    return net, given(net, steps=60 if kind == "long" else 7)


def presence(net, data, steps):
    """(samples, time) by definition."""
    samples = len(data[0])
    if net.lengths is True:
        return np.arange(steps)[None, :] < data[2][:, None]
    return data[2] if net.lengths == "mask" else np.ones((samples, steps), bool)


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_terms_of_a_state_add_up_to_its_gradient(kind):
    net, (params, *data) = over_time(kind)
    found, g = explored(net, params, *data)
    rows = [sample.index for sample in found.samples]
    assert found.layers == ()
    assert found.steps
    for layer in found.steps:
        there = presence(net, data, layer.steps)[np.ix_(rows, layer.at)]
        np.testing.assert_array_equal(layer.present, there)
        for q in layer.quantities:
            at = np.ix_(rows, layer.at, q.shown)
            for shown, known in ((q.value, g.trace[q.name]), (q.total, g[q.name]), (q.direct, g.direct[q.name])):
                assert np.isnan(shown[~there]).all()
                assert_close(shown[there], known[at][there])
            if q.kind == "state":
                assert_close(sum(term.values for term in q.terms)[there], g[q.name][at][there], 1e-13)
            else:
                assert q.terms == ()


def quantity(layer: ExploredSteps, name: str) -> ExploredQuantity:
    return next(q for q in layer.quantities if q.name == name)


def shifted(g: np.ndarray) -> np.ndarray:
    """Each step's successor, zero after the last."""
    return np.concatenate([g[:, 1:], np.zeros_like(g[:, :1])], axis=1)


def test_each_term_of_an_lstm_is_the_one_of_the_formulas():
    net, (params, *data) = over_time("lstm")
    found, g = explored(net, params, *data)
    rows = [sample.index for sample in found.samples]
    (layer,) = found.steps
    h, c = quantity(layer, "h"), quantity(layer, "c")
    expected = {("outside", "out"): g["out"] @ params["V"]}
    for gate in "ifgo":
        expected["next", f"a_{gate}"] = shifted(g[f"a_{gate}"] @ params[f"W_{gate}"])
    assert {(t.when, t.consumer) for t in h.terms} == set(expected)
    for term in h.terms:
        assert_close(term.values, expected[term.when, term.consumer][rows])
    o, tanh_c = g.trace["o"], np.tanh(g.trace["c"])
    expected = {
        ("same", "h"): g["h"] * o * (1 - tanh_c**2),
        ("next", "c"): shifted(g["c"] * g.trace["f"]),
    }
    assert {(t.when, t.consumer) for t in c.terms} == set(expected)
    for term in c.terms:
        assert_close(term.values, expected[term.when, term.consumer][rows])
    assert [t.text for t in c.terms] == ["h of the same step", "c of the next step"]
    assert [(q.name, q.kind) for q in layer.quantities] == [
        ("h", "state"),
        ("c", "state"),
        ("i", "gate"),
        ("f", "gate"),
        ("o", "gate"),
        ("g", "other"),
    ]
    assert h.formula == "h = o*tanh(c)"


def test_each_term_of_an_own_cell_is_the_one_of_the_formulas():
    net, (params, *data) = over_time("own")
    found, g = explored(net, params, *data)
    rows = [sample.index for sample in found.samples]
    ((h,),) = (layer.quantities for layer in found.steps)
    expected = {
        ("outside", "out"): g["out"] @ params["V"],
        ("next", "a"): shifted(g["a"] @ params["W"]),
        ("next", "h"): shifted(0.9 * g["h"]),
    }
    assert {(t.when, t.consumer) for t in h.terms} == set(expected)
    for term in h.terms:
        assert_close(term.values, expected[term.when, term.consumer][rows])


def test_a_product_that_goes_two_ways_is_one_term():
    net, (params, *data) = over_time("two states")
    found, g = explored(net, params, *data)
    rows = [sample.index for sample in found.samples]
    h, m, z = found.steps[0].quantities
    assert [q.kind for q in (h, m, z)] == ["state", "state", "gate"]
    assert [(t.when, t.consumer) for t in h.terms] == [
        ("outside", "h_mean"),
        ("next", "a, z"),
        ("next", "h"),
        ("next", "m"),
    ]
    slope = g.trace["z"] * (1 - g.trace["z"])
    expected = [
        shifted((g["a"] + g["z"] * slope) @ params["W"]),
        shifted(g["h"] * np.concatenate([np.zeros((5, 1, 3)), g.trace["m"][:, :-1]], axis=1)),
        shifted(g["m"]),
    ]
    there = found.steps[0].present
    for term, known in zip(h.terms[1:], expected, strict=True):
        assert_close(term.values[there], known[rows][there])


def test_a_masked_sequence_goes_on_at_its_next_step():
    net, (params, *data) = over_time("masked")
    found, g = explored(net, params, *data)
    rows, mask = [sample.index for sample in found.samples], data[2]
    for layer in found.steps:
        suffix = f"_{layer.label}"
        (term,) = [t for t in quantity(layer, f"c{suffix}").terms if t.when == "next"]
        product = g[f"c{suffix}"] * g.trace[f"f{suffix}"]
        for s, i in enumerate(rows):
            steps = np.flatnonzero(mask[i])[:: -1 if layer.reverse else 1]
            for t, following in pairwise(steps):
                assert_close(term.values[s, t], product[i, following])
            assert (term.values[s, steps[-1]] == 0).all()


def test_the_readers_outside_and_the_direction_are_named():
    net, (params, *data) = over_time("stacked")
    found, _ = explored(net, params, *data)
    assert [(layer.label, layer.reverse) for layer in found.steps] == [
        ("l0", False),
        ("l0_reverse", True),
        ("l1", False),
        ("l1_reverse", True),
    ]
    texts = {q.name: [t.text for t in q.terms] for layer in found.steps for q in layer.quantities}
    assert texts["h_l0"][0] == "read directly, by h_l0_both"
    assert texts["h_l1"][0] == "read directly, by h_both_end"
    assert texts["h_l1_reverse"][1] == "a_i_l1_reverse one step earlier in time, as it runs backwards"
    assert texts["c_l0"] == ["h_l0 of the same step", "c_l0 of the next step"]
    assert found.steps[0].quantities[1].formula == "c_l0 = f_l0*c_l0[t-1] + i_l0*g_l0"
    assert "c_l1_reverse[t+1]" in found.steps[3].quantities[1].formula


def test_what_is_left_out_is_said():
    net, (params, *data) = over_time("long")
    found, g = explored(net, params, *data)
    (layer,) = found.steps
    (h,) = layer.quantities
    assert layer.at[0] == 0
    assert layer.at[-1] == layer.steps - 1 == 59
    assert found.note == (
        f"3 of 5 samples, from all of the batch; {len(layer.at)} of 60 steps, at equal distances; "
        f"{len(h.shown)} of 20 units, those with the largest gradients"
    )
    mean = np.abs(g["h"]).mean((0, 1))
    assert h.shown == tuple(np.sort(np.argsort(-mean)[: len(h.shown)]))
    net, (params, *data) = over_time("many layers")
    found, _ = explored(net, params, *data)
    assert [layer.label for layer in found.steps] == ["l0", "l1", "l4", "l5"]
    assert "4 of 6 layers and directions" in found.note


@pytest.mark.parametrize(
    ("cell", "layers", "steps"), [(eg.LSTM(2, 64), 2, 80), (eg.GRU(2, 30), 1, 300), (eg.Elman(2, 100), 3, 40)]
)
def test_large_recurrent_networks_stay_small(cell, layers, steps):
    net = eg.Recurrent(cell, outputs=3, layers=layers, bidirectional=True)
    params, *data = given(net, steps=steps)
    found, _ = explored(net, params, *data)
    numbers = sum(q.value.size * (3 + len(q.terms)) for layer in found.steps for q in layer.quantities)
    assert 100 <= numbers <= explore_steps.MOST_NUMBERS


def test_samples_of_sequences_have_their_own_loss():
    net = eg.Recurrent(eg.Elman(2, 3), outputs=3, read="each", lengths=True)
    params, *data = given(net)
    found, g = explored(net, params, *data)
    z, y, lengths = g.trace["out"], data[1], data[2]
    for sample in found.samples:
        i, n = sample.index, lengths[sample.index]
        each = [np.log(np.exp(z[i, t]).sum()) - z[i, t, y[i, t]] for t in range(n)]
        assert_close(sample.loss, np.mean(each))
        assert (sample.label, sample.predicted) == ("", "")


def test_numbers_over_time_that_are_not_finite_stay():
    net, (params, *data) = over_time("elman")
    params = {**params, "W": params["W"] * np.nan}
    found, _ = explored(net, params, *data, check_finite=False)
    (layer,) = found.steps
    assert np.isnan(quantity(layer, "h").total[:, :-1]).all()
    assert layer.present.all()


def test_little_is_kept_little_is_shown():
    net = eg.Recurrent(eg.LSTM(2, 3), outputs=2, remember="sqrt")
    params, *data = given(net)
    assert report.build(net, eg.gradients(net, params, *data)).explore is None


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_other_libraries_over_time(library):
    known, _ = (lambda n, d: explored(n, *d))(*over_time("ragged"))
    net, (params, *data) = over_time("ragged")
    if library == "torch":
        torch = pytest.importorskip("torch")
        convert = torch.tensor
    else:
        jax = pytest.importorskip("jax")
        jax.config.update("jax_enable_x64", True)
        convert = jax.numpy.asarray
    found, _ = explored(net, {n: convert(p) for n, p in params.items()}, *map(convert, data))
    for q, other in zip(found.steps[0].quantities, known.steps[0].quantities, strict=True):
        there = known.steps[0].present
        assert_close(q.total[there], other.total[there], 1e-12)
        for term, same in zip(q.terms, other.terms, strict=True):
            assert_close(term.values[there], same.values[there], 1e-12)


def test_a_watched_model_is_walked_through(tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.LSTM(2, 3, num_layers=2, bidirectional=True).double()
    with eg.watch(model) as seen:
        model(torch.randn(5, 4, 2, dtype=torch.float64))[0].square().sum().backward()
    content = json.loads(seen.report(tmp_path / "seen.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(report.schema()).validate(content)
    found = content["report"]["explore"]
    assert [layer["label"] for layer in found["steps"]] == ["l0", "l0_reverse", "l1", "l1_reverse"]
    rows = [sample["index"] for sample in found["samples"]]
    for layer in found["steps"]:
        for q in layer["quantities"]:
            known = seen["LSTM"][q["name"]].numpy().transpose(1, 0, 2)[rows]
            assert_close(np.array(q["total"]), known)
            if q["kind"] == "state":
                assert_close(sum(np.array(term["values"]) for term in q["terms"]), known)


def test_watched_calls_with_other_samples_are_left_out(tmp_path):
    torch = pytest.importorskip("torch")
    model = torch.nn.GRU(2, 3)
    with eg.watch(model) as seen:
        (model(torch.ones(4, 2, 2))[0].sum() + model(torch.ones(4, 3, 2))[0].sum()).backward()
    found = json.loads(seen.report(tmp_path / "seen.json").read_text("utf-8"))["report"]["explore"]
    assert len(found["samples"]) == 2
    assert len(found["steps"]) == 1
    assert found["note"] == "1 of 2 layers and directions"


@pytest.mark.parametrize("kind", ["digits", "both", "lstm"])
def test_everything_is_in_the_json(kind):
    r = made(kind)
    content = json.loads(report.to_json(r))["report"]["explore"]
    assert set(content) == {field.name for field in dataclasses.fields(Explore)}
    for layer, found in zip(r.explore.layers, content["layers"], strict=True):
        np.testing.assert_array_equal(np.array(found["paths"]["products"]), layer.paths.products)
        np.testing.assert_array_equal(np.array(found["grad_h"]), layer.grad_h)
    for layer, found in zip(r.explore.steps, content["steps"], strict=True):
        for q, other in zip(layer.quantities, found["quantities"], strict=True):
            np.testing.assert_array_equal(np.array(other["total"], float), q.total)  # "NaN" is read as a number
            assert [t["consumer"] for t in other["terms"]] == [t.consumer for t in q.terms]
