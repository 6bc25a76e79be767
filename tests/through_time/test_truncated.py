"""Truncated backpropagation through time, against single terms and against torch with detached states."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import everygrad as eg
from everygrad.checks.tolerance import FRAMEWORK, assert_close
from everygrad.errors import InputError, UnknownNameError
from everygrad.graph.time import cell as time_cell
from everygrad.graph.time import sweep
from everygrad.through_time import Recurrence, truncated
from everygrad.through_time import terms as term_loop
from tests.through_time.cells import EXAMPLES, case, terms
from tests.through_time.test_credit import counted

EVERY = pytest.mark.parametrize(("name", "masked"), [(n, m) for n in EXAMPLES for m in (False, True)])
WINDOWS = (1, 2, 3, 5, 9)


def kept(T, tau, scheme):
    """Which terms (t, k) stay."""
    stays = np.zeros((T, T), bool)
    for t in range(T):
        for k in range(t + 1):
            stays[t, k] = t - k < tau if scheme == "window" else k >= t - t % tau
    return stays


@pytest.mark.parametrize("scheme", ["window", "detach"])
@EVERY
def test_the_sum_of_the_terms_that_stay(name, masked, scheme):
    c = case(name, masked=masked)
    found = truncated(c.recurrence, windows=WINDOWS, scheme=scheme)
    assert found.windows == WINDOWS
    swept = sweep(c.run, c.direct, c.final)
    for parameter in c.params:
        each = terms(c, parameter)
        assert_close(found.full[parameter], swept.parameters[parameter])
        for tau in WINDOWS:
            expected = each[kept(5, tau, scheme)].sum(0)
            assert_close(found.gradients[tau][parameter], expected, name=f"{parameter}, {tau}")
            assert_bias(found.biases[tau, parameter], [expected], [each.sum((0, 1))])
    assert list(found.gradients[1]) == list(c.run.cell.parameters)


def assert_bias(found, truncated_, full):
    a, b = (np.concatenate([np.ravel(x) for x in xs]) for xs in (truncated_, full))
    assert_close(found.norm, np.sqrt(a @ a))
    assert abs(found.bias - np.sqrt((a - b) @ (a - b))) <= 1e-13 * np.sqrt(b @ b)
    assert abs(found.relative - np.sqrt((a - b) @ (a - b) / (b @ b))) <= 1e-13
    assert abs(found.cosine - a @ b / np.sqrt((a @ a) * (b @ b))) <= 1e-13


@pytest.mark.parametrize("scheme", ["window", "detach"])
def test_all_parameters_as_one_vector(scheme):
    c = case("lstm", T=6)
    found = truncated(c.recurrence, windows=(2,), scheme=scheme, wrt=("W_f", "b_i"))
    each = [terms(c, name) for name in ("W_f", "b_i")]
    stays = kept(6, 2, scheme)
    assert_bias(found.biases[2, "all"], [e[stays].sum(0) for e in each], [e.sum((0, 1)) for e in each])
    assert set(found.biases) == {(2, "W_f"), (2, "b_i"), (2, "all")}


def in_torch(c, cut):
    """Σ_t L_t by autograd through an LSTM; ``cut(t)`` says whether the state before step t is detached."""
    p = {k: torch.tensor(v, requires_grad=True) for k, v in c.params.items()}
    h, s = torch.tensor(c.initial["h"]), torch.tensor(c.initial["c"])
    losses = []
    for t in range(len(c.x)):
        if cut(t):
            h, s = h.detach(), s.detach()
        x = torch.tensor(c.x[t])
        a = {g: x @ p[f"U_{g}"].T + p[f"b_{g}"] + h @ p[f"W_{g}"].T for g in "ifgo"}
        s = torch.sigmoid(a["f"]) * s + torch.sigmoid(a["i"]) * torch.tanh(a["g"])
        h = torch.sigmoid(a["o"]) * torch.tanh(s)
        losses.append((torch.tensor(c.direct["h"][t]) * h).sum())
    return p, losses


@pytest.mark.parametrize("tau", [1, 3, 4, 12])
def test_against_torch_with_detached_states(tau):
    c = case("lstm", T=12)
    c = replace(c, direct={"h": c.direct["h"]}, final={})
    p, losses = in_torch(c, lambda t: t % tau == 0)
    sum(losses).backward()
    found = truncated(c.recurrence, windows=(tau,), scheme="detach")
    for name, leaf in p.items():
        assert_close(found.gradients[tau][name], leaf.grad, FRAMEWORK, name)
    window = truncated(c.recurrence, windows=(tau,)).gradients[tau]
    total = dict.fromkeys(p, 0.0)
    for t in range(12):  # each loss by itself, from a state detached τ steps before
        p, losses = in_torch(c, lambda k, t=t: k == t - tau + 1)
        losses[t].backward()
        total = {name: g + (0.0 if p[name].grad is None else p[name].grad) for name, g in total.items()}
    for name, g in total.items():
        assert_close(window[name], g, FRAMEWORK, name)


def test_at_full_length_it_is_the_full_gradient():
    c = case("gru_before", T=6, masked=True)
    for scheme in ("window", "detach"):
        found = truncated(c.recurrence, windows=(6, 100), scheme=scheme)
        for tau in (6, 100):
            assert found.biases[tau, "all"].relative < 1e-15
            assert_close(found.biases[tau, "all"].cosine, 1.0)


@pytest.mark.parametrize("chunk", [1, 60, 200])
def test_in_groups(chunk, monkeypatch):
    c = case("lstm", T=9, masked=True)
    reference, seen = truncated(c.recurrence, windows=(1, 3, 8)), []
    monkeypatch.setattr(term_loop, "CHUNK", chunk)
    found = truncated(c.recurrence, windows=(8, 1, 3), progress=lambda *now: seen.append(now))
    for tau in (1, 3, 8):
        for name in c.params:
            assert_close(found.gradients[tau][name], reference.gradients[tau][name])
    assert [done for done, _ in seen] == list(range(1, len(seen) + 1))
    assert seen[-1][0] == seen[-1][1]


def test_the_cost_is_that_of_the_longest_window(monkeypatch):
    c, pulls = case("elman", T=30), counted(monkeypatch)
    truncated(c.recurrence, windows=(1, 2, 4))
    assert pulls == [1] * 30 + [1, 2, 3] + [4] * 27
    pulls.clear()
    truncated(c.recurrence, windows=(1, 2, 4), scheme="detach")
    assert pulls == [4] * 30


def test_progress_of_detached():
    c, seen = case("elman", T=3), []
    truncated(c.recurrence, windows=(2,), scheme="detach", progress=lambda *now: seen.append(now))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_what_is_refused():
    c = case("elman")
    for wrong in ((), (0,), (1.5,)):
        with pytest.raises(InputError, match="expected whole numbers of steps, at least 1"):
            truncated(c.recurrence, windows=wrong)
    with pytest.raises(UnknownNameError, match=r"unknown scheme 'detached'. Did you mean 'detach'"):
        truncated(c.recurrence, windows=(1,), scheme="detached")
    with pytest.raises(InputError, match="truncated backpropagation needs the gradient that arrives"):
        truncated(c.run, windows=(1,))
    with pytest.raises(UnknownNameError, match="unknown parameter of the cell 'V'"):
        truncated(c.recurrence, windows=(1,), wrt=("V",))


def test_as_text_and_as_json():
    c = case("elman", T=3)
    found = truncated(c.recurrence, windows=(1, 3), scheme="detach")
    b = found.biases[1, "all"]
    lines = str(found).splitlines()
    names = ", ".join(c.run.cell.parameters)
    assert lines[0] == f"Truncated backpropagation through time, detached every τ steps; gradient of {names}"
    assert lines[3].split() == ["1", *(f"{x:.4g}" for x in (b.norm, b.bias, b.relative, b.cosine))]
    assert "terms with t − k < τ" in str(truncated(c.recurrence, windows=(1,)))
    record = found.as_dict()
    assert record["scheme"] == "detach"
    assert record["windows"] == [1, 3]
    mine = next(row for row in record["biases"] if row["window"] == 1 and row["parameter"] == "all")
    assert mine == {
        "window": 1,
        "parameter": "all",
        "norm": b.norm,
        "bias": b.bias,
        "relative": b.relative,
        "cosine": b.cosine,
    }
    silent = truncated(Recurrence(c.run, {"h": np.zeros((3, 2, 3))}), windows=(1,))
    assert silent.as_dict()["biases"][0]["cosine"] is None


def test_a_cell_without_parameters_has_nothing_to_truncate() -> None:
    net = eg.graph(
        lambda x: eg.ops.reduce(
            eg.ops.sum(eg.ops.scan(time_cell(lambda x, s, p: eg.ops.tanh(s.h + x)), x, {}, {"h": 2}).end["h"])
        ),
        sequences="x",
    )
    with pytest.raises(InputError, match="no parameter whose gradient could be truncated"):
        eg.through_time.truncated(eg.gradients(net, {}, np.ones((1, 3, 2))), windows=(1,))
