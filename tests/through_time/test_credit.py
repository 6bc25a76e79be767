"""Itemised credit, against the complex step with a weight of its own at each time step."""

import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from everygrad.checks.tolerance import FRAMEWORK, assert_close
from everygrad.errors import InputError, NonFiniteError, UnknownNameError
from everygrad.graph.time import run, sweep
from everygrad.through_time import Recurrence, credit, credit_tables
from everygrad.through_time import terms as term_loop
from everygrad.through_time.steps import Steps
from tests.through_time.cells import EXAMPLES, case, terms
from tests.through_time.programs import program
from tests.through_time.test_any_cell import numbers

EVERY = pytest.mark.parametrize(("name", "masked"), [(n, m) for n in EXAMPLES for m in (False, True)])


@EVERY
def test_every_term_and_their_sum(name, masked):
    c = case(name, masked=masked)
    T, found = len(c.x), credit_tables(c.recurrence, wrt=tuple(c.params))
    swept = sweep(c.run, c.direct, c.final)
    for parameter, table in found.items():
        expected = terms(c, parameter)
        axes = tuple(range(2, expected.ndim))
        assert_close(table.norms, np.sqrt((expected**2).sum(axes)), name=parameter)
        total = expected.sum((0, 1))
        assert_close(table.total, total)
        assert_close(table.gradient, total)
        assert_close(table.total, swept.parameters[parameter])
        assert_close(table.shares, (expected * total).sum(axes) / (total**2).sum())
        assert_close(table.shares.sum(), 1.0)
        for t in range(T):
            assert_close(table.of_step(t), expected[t].sum(0))
            assert_close(table.at_step(t), expected[:, t].sum(0))
            for k in range(t + 1):
                assert_close(table.term(t, k), expected[t, k], name=f"term {t}, {k}")
            assert not table.norms[t, t + 1 :].any()
        lags = [sum(table.shares[t, t - lag] for t in range(lag, T)) for lag in range(T)]
        assert_close(table.lag_shares(), lags)


@pytest.mark.parametrize("chunk", [1, 40, 300])
@pytest.mark.parametrize("name", ["elman", "lstm", "turned"])
def test_in_groups(name, chunk, monkeypatch):
    c = case(name, T=9, masked=True)
    reference = credit_tables(c.recurrence, wrt=tuple(c.params))
    monkeypatch.setattr(term_loop, "CHUNK", chunk)
    for parameter, table in credit_tables(c.recurrence, wrt=tuple(c.params)).items():
        assert_close(table.norms, reference[parameter].norms)
        assert_close(table.shares, reference[parameter].shares)
        assert_close(table.total, reference[parameter].total)


@pytest.mark.parametrize(("batch", "units"), [(1, 8), (3, 8), (12, 4), (4, 4)])
def test_norms_with_fewer_and_with_more_samples_than_inputs(batch, units):
    c = case("elman", T=6, B=batch, units=units, inputs=2)
    for parameter in ("W", "U", "b"):
        table = credit(c.recurrence, wrt=parameter)
        norms = [[np.linalg.norm(table.term(t, k)) if k <= t else 0.0 for k in range(6)] for t in range(6)]
        assert_close(table.norms, norms)


def test_samples_that_cancel_keep_their_digits():
    c = case("linear", T=2, B=2, units=6)
    x = np.stack([c.x[:, 0]] * 2, 1)
    start = {"h": np.stack([c.initial["h"][0]] * 2)}
    g = np.stack([c.direct["h"][:, 0], -(1 - 2.0**-40) * c.direct["h"][:, 0]], 1)  # what is left is exact
    c = replace(c, x=x, initial=start, direct={"h": g}, final={})
    table = credit(c.recurrence, wrt="W")
    alone = credit(replace(c, direct={"h": g * np.array([2.0**-40, 0.0])[:, None]}).recurrence, wrt="W")
    assert_close(table.norms, alone.norms, 1e-3)  # 2⁻⁴⁰ of 1e-16; from a Gram matrix nothing would be left


def test_against_torch_one_pass_for_each_loss():
    c = replace(case("lstm", T=7, units=4), final={})
    each = [{k: torch.tensor(v, requires_grad=True) for k, v in c.params.items()} for _ in range(7)]
    h, s = torch.tensor(c.initial["h"]), torch.tensor(c.initial["c"])
    losses = []
    for t, p in enumerate(each):
        x = torch.tensor(c.x[t])
        a = {g: x @ p[f"U_{g}"].T + p[f"b_{g}"] + h @ p[f"W_{g}"].T for g in "ifgo"}
        i = torch.sigmoid(a["i"])
        s = torch.sigmoid(a["f"]) * s + i * torch.tanh(a["g"])
        h = torch.sigmoid(a["o"]) * torch.tanh(s)
        now = {"h": h, "c": s, "i": i}
        losses.append(sum((torch.tensor(g[t]) * now[q]).sum() for q, g in c.direct.items()))
    for name in ("W_f", "U_i", "b_o"):
        table = credit(c.recurrence, wrt=name)
        for t, L in enumerate(losses):
            reference = torch.autograd.grad(L, [p[name] for p in each], retain_graph=True, allow_unused=True)
            for k, g in enumerate(reference):
                if g is not None and k <= t:
                    assert_close(table.term(t, k), g, FRAMEWORK)
                    assert_close(table.norms[t, k], torch.linalg.norm(g), FRAMEWORK)


@settings(max_examples=60)
@given(st.integers(0, 10**9))
def test_any_cell(seed):
    what = program(seed)
    given = numbers(what, seed)
    source = Recurrence(run(what.cell(), given.x, given.states, given.params, given.mask), given.direct, given.final)
    swept = sweep(source.run, given.direct, given.final)
    found = credit_tables(source, wrt=tuple(given.params))
    for name, table in found.items():
        reference = swept.parameters.get(name, np.zeros_like(given.params[name]))
        size = sum(np.linalg.norm(g) for g in swept.parameters.values())
        assert np.linalg.norm(table.total - reference) <= 1e-12 * size
        assert np.linalg.norm(table.gradient - reference) <= 1e-12 * size
        T = len(table.norms)
        for t, k in ((T - 1, 0), (T - 1, T // 2)):
            assert_close(table.norms[t, k], np.linalg.norm(table.term(t, k)), 1e-12)


def counted(monkeypatch):
    """How many pulls, and of how many rows, a loop makes; an ordinary backward pass stands as a text."""
    pulls = []
    plain = Steps.pull
    module = sys.modules["everygrad.through_time.credit"]  # whose name in the package is the function's
    monkeypatch.setattr(module, "sweep", lambda *a: pulls.append("a pass") or sweep(*a))

    def pull(self, g, t=None):
        pulls.append(self.lead(g)[0])
        return plain(self, g, t)

    monkeypatch.setattr(Steps, "pull", pull)
    return pulls


def test_the_cost_is_one_pass_and_half_a_square_of_rows(monkeypatch):
    c, pulls = case("lstm", T=20), counted(monkeypatch)
    credit_tables(c.recurrence, wrt=("W_i", "U_f"))
    assert pulls == ["a pass", *range(1, 21)]


def test_steps_without_a_loss_cost_nothing(monkeypatch):
    c = case("lstm", T=20)
    last = replace(c, direct={"h": np.where(np.arange(20)[:, None, None] == 12, c.direct["h"], 0)}, final={})
    pulls = counted(monkeypatch)
    table = credit(last.recurrence, wrt="W_i")
    assert pulls == ["a pass", *[1] * 13]
    assert not np.delete(table.norms, 12, axis=0).any()
    pulls.clear()
    table.term(12, 10)
    assert pulls == [1] * 3


def test_no_array_of_all_terms_is_formed():
    T, d = 40, 48
    c = replace(case("elman", T=T, B=2, units=d), final={})
    source = c.recurrence
    tracemalloc.start()
    credit(source, wrt="W")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < T * T * d * d * 8 / 10


def test_progress():
    c, seen = case("elman", T=4), []
    credit(c.recurrence, wrt="W", progress=lambda *now: seen.append(now))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_nothing_arrives():
    c = case("elman", T=3)
    table = credit(Recurrence(c.run, {"h": np.zeros((3, 2, 3))}), wrt="W")
    assert not table.norms.any()
    assert not table.shares.any()
    assert not table.total.any()
    assert not table.term(2, 1).any()


def test_torch_tensors():
    c = case("lstm", masked=True)
    move = torch.from_numpy
    parts = ({k: move(v) for k, v in a.items()} for a in (c.initial, c.params))
    initial, params = parts
    moved = run(c.run.cell, move(c.x), initial, params, move(c.mask))
    direct, final = ({k: move(v) for k, v in a.items()} for a in (c.direct, c.final))
    found, reference = credit(Recurrence(moved, direct, final), wrt="W_f"), credit(c.recurrence, wrt="W_f")
    assert isinstance(found.total, torch.Tensor)
    assert_close(found.total, reference.total)
    assert_close(found.norms, reference.norms)
    assert_close(found.term(3, 1), reference.term(3, 1))


def test_what_is_refused():
    c = case("elman")
    with pytest.raises(UnknownNameError, match=r"unknown parameter of the cell 'w'. Did you mean 'W'"):
        credit(c.recurrence, wrt="w")
    with pytest.raises(InputError, match="itemised credit needs the gradient that arrives at each step"):
        credit(c.run, wrt="W")
    table = credit(c.recurrence, wrt="W")
    for t, k in ((1, 2), (5, 0), (0, -1)):
        with pytest.raises(InputError, match="expected 0 <= k <= t < 5"):
            table.term(t, k)
    with pytest.raises(NonFiniteError, match=r"the term \(t=4, k=4\) of 'W' is not finite"):
        credit(replace(c, params={**c.params, "W": np.full((3, 3), np.nan)}).recurrence, wrt="W")


def test_as_text_and_as_json():
    c = case("elman", T=5)
    table = credit(c.recurrence, wrt="W")
    norms = np.sqrt((terms(c, "W") ** 2).sum((2, 3)))
    lines = str(table).splitlines()
    assert lines[0] == "Norms of the terms of ∂L/∂W by t and lag t − k, 5 steps"
    assert lines[1].split("  ")[0] == "t"
    row = [norms[4, 4], norms[4, 3], norms[4, 2], norms[4, 0], table.shares[4].sum()]
    assert lines[-2].split() == ["4", *(f"{x:.4g}" for x in row)]
    assert lines[-1].split() == ["share", *(f"{table.lag_shares()[i]:.4g}" for i in (0, 1, 2, 4)), "1"]
    assert len(lines[3].split()) == 3  # at t = 0 there is only lag 0
    record = table.as_dict()
    assert_close(np.array(record["norms"]), norms)
    assert_close(np.array(record["shares"]).sum(), 1.0)
    assert_close(record["gradient_norm"], np.linalg.norm(table.total))
