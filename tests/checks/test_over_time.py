"""Recurrent networks are checked at every step; planted mistakes are caught, and called by their names."""

import numpy as np
import pytest
from hypothesis import given, settings

import everygrad as eg
from everygrad.checks import adjoint_check, check
from everygrad.checks.tolerance import DIFFERENCE, EXACT, SINGLE
from everygrad.errors import InputError, UnknownNameError
from tests.checks.operations import Layer, Tanh
from tests.checks.test_adjoint import Broken
from tests.networks import recurrent_oracle
from tests.networks.recurrent_cases import Case, cases, made
from tests.networks.recurrent_library import data, network
from tests.networks.recurrent_oracle import plain_loops
from tests.networks.test_unrolling import own_graph, own_numbers


def checked(case: Case, remember: str = "all", **more):
    numbers = made(case)
    return check(network(case, remember), numbers.params, *data(numbers), **more)


def wrong(result) -> set[str]:
    return {row.name for row in result.rows if not row.ok}


# ------------------------------------------------------------------------------------------------- right ones


@settings(max_examples=10)
@given(cases(longest=3, batch=2, units=2, layers=2))
def test_any_recurrent_network(case):
    result = checked(case)
    assert result.ok, result
    names = {row.name for row in result.rows}
    for layer in case.stack:
        assert {q + layer.suffix for q in case.quantities} <= names
        assert {f"direct {q}{layer.suffix}" for q in case.quantities} <= names
    assert set(case.shapes) <= names
    for row in result.rows:
        assert row.error <= EXACT or "cancel" in row.how, row


RAGGED = Case("gru", T=3, B=2, units=2, inputs=2, lengths=True, read="each", seed=4)


def test_every_entry_is_compared_with_the_complex_step():
    result = checked(RAGGED)
    assert result.ok, result
    assert max(row.error for row in result.rows) < 1e-14
    assert all(row.how == f"all {np.prod(row.shape):,} entries" for row in result.rows)
    assert [row.name for row in result.rows if row.name.startswith("direct ")][:2] == ["direct a_r", "direct a_z"]
    assert result.row("h").shape == (2, 3, 2)


def test_finite_differences():
    result = checked(RAGGED, oracle="difference")
    assert result.ok, result
    assert 1e-15 < max(row.error for row in result.rows) < DIFFERENCE / 100


def test_plain_loops_as_the_oracle_and_as_the_gradients():
    numbers = made(Case("gru", layers=2, T=4, B=2, units=2))
    oracle, given = plain_loops(numbers), (network(numbers.case), numbers.params, *data(numbers))
    known = {name: g for name, g in oracle.total.items() if name not in (*numbers.initial, "prediction")}
    known |= {
        f"direct {name}": g for name, g in oracle.direct.items() if name[:2] in ("h_", "a_", "r_") and g.ndim == 3
    }
    by_oracle = check(*given, oracle=known)
    assert by_oracle.ok, by_oracle
    assert {row.name for row in by_oracle.rows} == set(known)
    by_step = check(*given, gradients=known)
    assert by_step.ok, by_step
    assert {row.name for row in by_step.rows} == set(known)


def test_two_scans_that_share_weights_and_hand_over_a_state():
    """An encoder and a decoder that runs backwards, with operations on sequences between."""
    graph = own_graph()
    params, arrays = own_numbers(graph)
    result = check(graph, params, *(array[:2, :3] if array.ndim > 1 else np.array([3, 1]) for array in arrays))
    assert result.ok, result
    assert {"x", "U", "r", "s_c", "slow_r", "s_c_end", "mixed", "each", "direct slow_c", "direct a_r"} <= {
        row.name for row in result.rows
    }


def test_segments_have_no_direct_gradients():
    result = checked(RAGGED, remember="sqrt")
    assert result.ok, result
    assert "h" in {row.name for row in result.rows}
    assert not any(row.name.startswith("direct ") for row in result.rows)


def test_float32():
    numbers = made(RAGGED)
    single = {name: p.astype(np.float32) for name, p in numbers.params.items()}
    x, *rest = data(numbers)
    result = check(network(RAGGED), single, x.astype(np.float32), *rest)
    assert result.ok, result
    assert {row.tolerance for row in result.rows} == {SINGLE}


def test_a_long_sequence_is_sampled_and_one_wrong_entry_is_still_seen():
    case = Case("elman", T=40, B=4, units=5, inputs=2)
    numbers = made(case)
    net, given = network(case), (numbers.params, *data(numbers))
    only = {"quantities": ["h", "direct a", "W"], "limit": 100}
    calls = []
    result = check(net, *given, progress=lambda *call: calls.append(call), **only)
    assert result.ok, result
    assert result.row("h").how == "100 of 800 entries and 8 directions"
    assert [call for call in calls if call[1] == call[2]] == [("W", 25, 25), ("h", 100, 100), ("direct a", 100, 100)]
    g = eg.gradients(net, *given)
    for at in ((0, 0, 0), (3, 17, 4), (2, 39, 1)):
        spoilt = g["h"].copy()
        spoilt[at] += 1e-6 * np.linalg.norm(spoilt)
        seen = check(net, *given, gradients={"h": spoilt}, limit=30)
        assert seen.culprit == "h"
        assert 1e-7 < seen.row("h").error < 1e-4


def test_quantities_of_ones_own_choice():
    result = checked(RAGGED, quantities=["direct a_n", "a_n_l0"])
    assert [row.name for row in result.rows] == ["a_n", "direct a_n"]
    with pytest.raises(UnknownNameError, match="unknown direct gradient 'direct out'"):
        checked(RAGGED, quantities=["direct out"])
    with pytest.raises(InputError, match="unknown quantity 'zz'"):
        checked(RAGGED, gradients={"direct zz": np.zeros(3)})


# ------------------------------------------------------------------------------------- a wrong operation in a cell


def own_network(how: str):
    """A cell with two states whose activation may have a wrong derivative."""

    def step(x, states, p):
        h, slow = states
        a = p.U @ x + p.b + p.W @ h + p.Q @ slow
        h = eg.ops.apply(Tanh(how), a)
        mixed = 0.5 * slow + 0.5 * h
        return h, mixed

    shapes = {"U": (3, 2), "b": (3,), "W": (3, 3), "Q": (3, 3)}
    net = eg.Recurrent(eg.Cell(step, 2, {"h": 3, "slow": 3}, shapes), 2, lengths=True)
    rng = np.random.default_rng(3)
    params = {name: 0.5 * rng.normal(size=shape) for name, shape in net.shapes.items()}
    return net, (params, rng.normal(size=(2, 3, 2)), np.array([0, 1]), np.array([3, 2]))


@pytest.mark.parametrize("oracle", ["complex", "difference"])
@pytest.mark.parametrize(
    ("mistake", "fault"),
    [
        ("sign", "wrong sign"),
        ("at_h", "g′ is taken at h[2] instead of a[2]"),
        ("forgotten", "g′ is forgotten (∇a[2] = ∇h[2] ⊙ g′(a[2]))"),
        ("third", "3 times the right gradient"),
    ],
)
def test_a_wrong_operation_in_a_cell(mistake, fault, oracle):
    net, given = own_network(mistake)
    result = check(net, *given, oracle=oracle)
    assert result.culprit == "a"
    blamed = f"(the local derivative of the operation 'tanh_{mistake}' in h[2] with respect to a[2] is wrong)"
    assert result.row("a").fault == f"at step 2: {fault} {blamed}; 3 of 3 steps are wrong by themselves"
    assert wrong(result) == {"x", "x_kept", "U", "b", "W", "Q", "a", "h", "slow", "direct a"}
    assert all(row.fault.startswith("follows from ") for row in result.rows if not row.ok and row.name != "a")


def test_a_right_operation_of_ones_own_in_a_cell():
    """The state ``slow`` is read by the next step only: its direct gradient is zero."""
    net, given = own_network("right")
    result = check(net, *given)
    assert result.ok, result
    assert result.row("slow").norm > 0.0
    assert result.row("direct slow").norm == 0.0


def test_a_wrong_derivative_by_a_weight_in_a_cell():
    def step(x, states, p):
        a = eg.ops.apply(Layer("twice"), states.h, p.W) + p.U @ x
        return eg.ops.tanh(a)

    net = eg.Recurrent(eg.Cell(step, 2, {"h": 3}, {"U": (3, 2), "W": (3, 3)}), 2)
    rng = np.random.default_rng(0)
    result = check(net, net.init(0), rng.normal(size=(2, 3, 2)), np.array([0, 1]))
    assert wrong(result) == {"W"}
    assert "2 times the right gradient" in result.row("W").fault
    assert "the operation 'layer_twice' in l0.layer_twice_1[1] with respect to W" in result.row("W").fault


# -------------------------------------------------------------------------------------- gradients given by somebody


CASE = Case("lstm", T=5, B=3, units=3, lengths=True, seed=4)


@pytest.fixture(scope="module")
def right():
    numbers = made(CASE)
    net, given = network(CASE), (numbers.params, *data(numbers))
    return net, given, eg.gradients(net, *given), numbers.mask


def planted(right, change):
    net, given, g, mask = right
    changes = change(g, mask)
    shown = {*changes, "i", "f", "W_i", "W_f", "b_o", "h", "c", "a_i"}
    return check(net, *given, gradients={**g, **changes}, quantities=shown), changes


def padding_leaks(g, mask):
    return {"c": g["c"] + np.where(mask[..., None], 0.0, 0.3)}


PLANTED = {
    "direct as total": (
        lambda g, mask: {"h": g.direct["h"]},
        "it is the direct gradient: what comes through later steps is missing",
    ),
    "total as direct": (
        lambda g, mask: {"direct h": g["h"]},
        "it is the total gradient: what comes through later steps is in it",
    ),
    "a weight of direct gradients": (
        lambda g, mask: {"W_f": g.direct["W_f"]},
        "it is made of direct gradients: what comes through later steps is missing",
    ),
    "a bias of direct gradients": (
        lambda g, mask: {"b_i": g.direct["b_i"]},
        "it is made of direct gradients: what comes through later steps is missing",
    ),
    "off by one in time": (
        lambda g, mask: {"a_o": np.concatenate([g["a_o"][:, :1] * 0, g["a_o"][:, :-1]], 1)},
        "off by one in time: it is the gradient of the step before",
    ),
    "rolled": (
        lambda g, mask: {"x": np.roll(g["x"], -1, axis=1)},
        "off by one in time: it is the gradient of the step after",
    ),
    "the state after the step": (
        lambda g, mask: {"W_i": np.einsum("btp,btq->pq", g["a_i"], g.trace["h"])},
        "it was made with h of the same step: is the state off by one in time?",
    ),
    "padding leaks": (padding_leaks, "the padding leaks: it must be zero where a sequence has no step"),
    "a bias of one step": (
        lambda g, mask: {"b_g": g["a_g"][:, 2].sum(0)},
        "only the part through a_g[2] is in it: the sum over the steps is missing",
    ),
    "a bias of another gate": (lambda g, mask: {"b_g": g["b_o"]}, "swapped: it is the gradient of b_o"),
    "wrong sign": (lambda g, mask: {"i": -g["i"]}, "wrong sign"),
    "backwards": (lambda g, mask: {"f": g["f"][:, ::-1]}, "reversed in time"),
    "c without the output": (
        lambda g, mask: {"c": g["c"] - g["h"] * g.trace["o"] * (1 - np.tanh(g.trace["c"]) ** 2)},
        "at step 3: it is zero: the path through h[3] is dropped; 4 of 5 steps are wrong by themselves",
    ),
    "one entry": (
        lambda g, mask: {"a_f": g["a_f"] + 0.1 * (np.arange(45).reshape(3, 5, 3) == 3)},
        "at step 1: one entry is off: [0, 0]",
    ),
    "summed over the steps": (lambda g, mask: {"h": g["h"].sum(1)}, "it has shape (3, 3), must have (3, 5, 3)"),
}


@pytest.mark.parametrize(("change", "fault"), PLANTED.values(), ids=PLANTED)
def test_one_wrong_gradient_is_caught_and_named(right, change, fault):
    result, changes = planted(right, change)
    assert wrong(result) == set(changes)
    assert result.culprit == next(iter(changes))
    assert result.row(result.culprit).fault.startswith(fault)


def test_swapped_gates(right):
    result, _ = planted(right, lambda g, mask: {"i": g["f"], "f": g["i"], "W_i": g["W_f"], "W_f": g["W_i"]})
    assert wrong(result) == {"i", "f", "W_i", "W_f"}
    for name, other in (("i", "f"), ("f", "i"), ("W_i", "W_f"), ("W_f", "W_i")):
        assert result.row(name).fault == f"swapped: it is the gradient of {other}"


def test_a_missing_carry_and_all_that_follows_from_it(right):
    """Somebody's whole backward pass without the term through later steps."""
    net, given, g, _ = right
    names = [name for name in g.direct if name in g and name not in ("h_end", "x_kept")]
    result = check(net, *given, gradients={name: g.direct[name] for name in names})
    assert result.culprit == "h"
    for name in ("h", "c"):
        assert result.row(name).fault == "it is the direct gradient: what comes through later steps is missing"
    assert result.row("a_i").fault == "follows from i"
    assert result.row("W_i").fault == "follows from a_i"


BACKWARD = {  # a cell's backward pass with one mistake, all the rest made with it
    "slope at the output": (
        "elman",
        lambda back: lambda case, p, x, s, q, d, into: back(case, p, x, s, q | {"a": q["h"]}, d, into),
        "a",
        "at step 3: g′ is taken at h[3] instead of a[3]",
    ),
    "later c forgotten": (
        "lstm",
        lambda back: lambda *a: (lambda g, dx, before: (g, dx, before | {"c": 0 * before["c"]}))(*back(*a)),
        "c",
        "at step 2: the path through c[3] is dropped",
    ),
    "a gate forgotten": (
        "lstm",
        lambda back: (
            lambda case, p, *a: (lambda g, dx, before: (g, dx, before | {"h": before["h"] - p["W_f"].T @ g["a_f"]}))(
                *back(case, p, *a)
            )
        ),
        "h",
        "at step 2: the path through a_f[3] is dropped",
    ),
    "what passes by forgotten": (
        "gru",
        lambda back: (
            lambda case, p, x, s, q, d, into: (lambda g, dx, before: (g, dx, {"h": before["h"] - d["h"] * q["z"]}))(
                *back(case, p, x, s, q, d, into)
            )
        ),
        "h",
        "at step 2: the path through h[3] is dropped",
    ),
    "reset on the other side": (
        "gru",
        lambda back: lambda case, *a: back(Case("gru", reset="before"), *a),
        "r",
        "at step 3: 8 of 8 entries are off, no mistake that is known",
    ),
}


@pytest.mark.parametrize(("cell", "change", "culprit", "fault"), BACKWARD.values(), ids=BACKWARD)
def test_a_mistake_in_a_backward_pass_and_what_follows_from_it(monkeypatch, cell, change, culprit, fault):
    numbers = made(Case(cell, T=4, B=2))
    forward, back = recurrent_oracle.CELLS[cell]
    monkeypatch.setitem(recurrent_oracle.CELLS, cell, (forward, change(back)))
    given = {name: g for name, g in plain_loops(numbers).total.items() if name not in (*numbers.initial, "prediction")}
    result = check(network(numbers.case), numbers.params, *data(numbers), gradients=given)
    assert result.culprit == culprit
    assert result.row(culprit).fault.startswith(fault)
    assert f"The first in the backward sweep is {culprit}: " in result.verdict
    follow = [row.name for row in result.rows if not row.ok and row.fault.startswith("follows from ")]
    assert {"x", f"U{'_r' if cell == 'gru' else '_i' if cell == 'lstm' else ''}"} <= set(follow)
    assert result.row("V").ok


def test_a_mistake_across_layers():
    """The lower layer is right given what the upper one says: only the upper layer is at fault."""
    case = Case("elman", layers=2, bidirectional=True, T=3, B=2, units=2)
    numbers = made(case)
    net, given = network(case), (numbers.params, *data(numbers))
    g = eg.gradients(net, *given)
    wrong_above = {**g, "a_l1": 2 * g["a_l1"]}
    result = check(net, *given, gradients=wrong_above)
    assert wrong(result) == {"a_l1"}
    assert result.row("a_l1").fault.startswith("at step 2: 2 times the right gradient")


# ---------------------------------------------------------------------------------------------------- the dot test


@pytest.mark.parametrize("remember", ["all", "sqrt"])
def test_the_adjoint_check_looks_into_the_cell(remember):
    case = Case("gru", layers=2, lengths=True, read="mean", T=3, embedding=(5, 3))
    numbers = made(case)
    result = adjoint_check(eg.forward(network(case, remember), numbers.params, *data(numbers)))
    assert result.ok, result
    edges = {(row.name, row.operand) for row in result.rows}
    assert {("l0.affine_2", "l0.h_prev"), ("l1.affine_1", "U_r_l1"), ("h_mean", "h_l1"), ("embedded", "E")} <= edges
    inside = "r_l0" if remember == "all" else "l0.r"
    assert any(name == inside for name, _ in edges)


def test_the_adjoint_check_sees_a_wrong_pull_in_a_cell():
    def step(x, states, p):
        return eg.ops.tanh(eg.ops.apply(Broken("right"), states.h, p.W) + p.U @ x)

    net = eg.Recurrent(eg.Cell(step, 2, {"h": 3}, {"U": (3, 2), "W": (3, 3)}), 2)
    x = np.random.default_rng(0).normal(size=(2, 3, 2))
    params = {name: np.random.default_rng(1).normal(size=shape) for name, shape in net.shapes.items()}
    result = adjoint_check(eg.forward(net, params, x, np.array([0, 1])))
    assert [(row.name, row.operand) for row in result.rows if not row.ok] == [("l0.layer_right_1", "l0.h_prev")]
