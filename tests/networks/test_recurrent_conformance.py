"""Every gradient inside a recurrent network, total and direct, against four independent oracles."""

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everygrad.backprop import gradients
from everygrad.checks.tolerance import FRAMEWORK, SINGLE, assert_close, relative_error
from everygrad.errors import CheckFailed
from tests.networks import recurrent_oracle
from tests.networks.recurrent_autodiff import with_complex_step, with_jax, with_torch
from tests.networks.recurrent_cases import Case, agree, cases, drawn, made
from tests.networks.recurrent_library import asked, data, found, network
from tests.networks.recurrent_oracle import plain_loops

SMALL = {"longest": 5, "batch": 3, "units": 4, "layers": 2}


def agrees(g, numbers, oracle):
    """Loss, total and direct gradients; what stands in the padding of a prediction does not count."""
    case = numbers.case
    assert_close(g.loss, np.asarray(oracle.loss), FRAMEWORK, "loss")
    agree(g, asked(numbers, oracle.total), FRAMEWORK, "total")
    agree(g.direct, asked(numbers, oracle.direct), FRAMEWORK, "direct")
    for name, reference in asked(numbers, oracle.values).items():
        actual = g.trace[name]
        if name == network(case).prediction and case.read == "each":
            actual = np.where(numbers.mask[..., None], actual, 0)
        assert_close(actual, reference, FRAMEWORK, f"value {name}")


@settings(max_examples=40)
@given(cases())
def test_every_quantity_equals_plain_loops(case):
    numbers = made(case)
    g, oracle = found(numbers), plain_loops(numbers)
    agrees(g, numbers, oracle)
    assert set(network(case).shapes) == set(case.shapes)
    for layer in case.stack:  # padding: exactly zero, not only small
        for name in case.quantities:
            assert not g[name + layer.suffix][~numbers.mask].any()
            assert not g.direct[name + layer.suffix][~numbers.mask].any()


@settings(max_examples=15)
@given(cases(longest=20))
def test_every_quantity_equals_torch_with_retain_grad(case):
    numbers = made(case)
    g, oracle = found(numbers), with_torch(numbers)
    agree(g, asked(numbers, oracle.total), FRAMEWORK, "total")
    agree(g.direct, asked(numbers, oracle.direct), FRAMEWORK, "direct")


@settings(max_examples=20)
@given(cases(**SMALL))
def test_every_quantity_equals_the_complex_step(case):
    numbers = made(case)
    g, oracle = found(numbers), with_complex_step(numbers)
    agree(g, asked(numbers, oracle.total), FRAMEWORK, "total")
    agree(g.direct, asked(numbers, oracle.direct), FRAMEWORK, "direct")


def in_one_shape(seed: int) -> Case:
    """A drawn network whose arrays all have the same few shapes: JAX compiles each operation for each shape."""
    case = drawn(seed, units=2, layers=2)
    same = {"T": 3, "B": 2, "inputs": 3, "units": 4, "outputs": 3}
    narrow = 3 if case.cell == "lstm" and seed % 2 else None
    return dataclasses.replace(case, **same, embedding=case.embedding and (5, 3), projection=narrow)


@settings(max_examples=5)
@given(st.integers(0, 10**9).map(in_one_shape))
def test_every_quantity_equals_jax_grad(case):
    numbers = made(case)
    with jax.enable_x64(True):
        oracle = with_jax(numbers)
    for actual in (found(numbers), plain_loops(numbers).total):  # the loops once more: they are the other tests' oracle
        names = oracle.total if isinstance(actual, dict) else asked(numbers, oracle.total)
        agree(actual, names, FRAMEWORK, "total")
    agree(found(numbers).direct, asked(numbers, oracle.direct), FRAMEWORK, "direct")
    agree(plain_loops(numbers).direct, oracle.direct, FRAMEWORK, "direct")


@settings(max_examples=20)
@given(cases(longest=12))
def test_float32_is_close_to_float64_of_the_rounded_numbers(case):
    numbers = made(case)

    def narrow(array):
        return array.astype(np.float32) if array.dtype == np.float64 else array

    def wide(array):
        return array.astype(np.float32).astype(float) if array.dtype == np.float64 else array

    g, reference = found(numbers, narrow), found(numbers, wide)
    assert set(g) == set(reference)
    assert {g[name].dtype for name in g} == {np.dtype(np.float32)}
    for name in g:
        # not the weights', which are differences of losses; a parameter's is a sum of terms that may cancel
        if name not in ("weight", "step_weight", *numbers.params):
            assert_close(g[name], reference[name], SINGLE, name)
    of_parameters, exact = (np.concatenate([each[name].ravel() for name in numbers.params]) for each in (g, reference))
    assert_close(of_parameters, exact, SINGLE, "all parameters")


# -------------------------------------------------------------------------------------------- the smallest


@pytest.mark.parametrize("read", ["last", "each", "mean"])
@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
@pytest.mark.parametrize(
    "sizes", [{"T": 1}, {"B": 1}, {"units": 1}, {"T": 1, "B": 1, "units": 1, "inputs": 1}], ids=str
)
def test_the_smallest_networks(sizes, cell, read):
    both = {"layers": 2, "bidirectional": True, "lengths": True, "initial": True}
    for more in ({}, both):
        numbers = made(Case(cell, read=read, **more, **sizes))
        agrees(found(numbers), numbers, plain_loops(numbers))


# ---------------------------------------------------------------------------------- padding, names, arguments


RAGGED = [
    Case(cell, read=read, layers=2, bidirectional=True, lengths=lengths, initial=True, weighted=True, T=6, B=4)
    for cell, read, lengths in (
        ("elman", "each", True),
        ("lstm", "last", "mask"),
        ("gru", "mean", True),
        ("lstm", "each", "mask"),
        ("gru", "last", True),
    )
]


@pytest.mark.parametrize("case", RAGGED, ids=lambda case: f"{case.cell} {case.read}")
def test_what_stands_in_the_padding_is_never_looked_at(case):
    """NaN, labels of no class, weights of NaN: the same numbers come out, bit by bit, and zero in the padding."""
    numbers = made(case)
    empty = ~numbers.mask
    assert empty.any()
    changes = {"x": np.where(empty[..., None], np.nan, numbers.x)}
    if case.read == "each":
        changes |= {"y": np.where(empty, -7, numbers.y), "weight": np.where(empty, np.nan, numbers.weight)}
    g, other = found(numbers), found(numbers.replace(**changes))
    for name in g:
        np.testing.assert_array_equal(other[name], g[name], err_msg=name)
    assert not other["x"][empty].any()
    for layer in case.stack:
        for name in case.quantities:
            assert not other[name + layer.suffix][empty].any()
            assert not other.direct[name + layer.suffix][empty].any()


def test_padding_with_tokens():
    case = Case("gru", lengths=True, embedding=(5, 3), read="each", T=6, B=4)
    numbers = made(case)
    g = found(numbers)
    other = found(numbers.replace(x=np.where(numbers.mask, numbers.x, -1)))
    for name in ("E", "embedded", "h", "U_n"):
        np.testing.assert_array_equal(other[name], g[name], err_msg=name)


def test_a_shorter_sequence_is_the_sequence_alone():
    """Each sequence of a ragged batch by itself, cut to its length, gives its part of the gradient."""
    case = Case("lstm", layers=2, bidirectional=True, read="last", lengths=True, T=7, B=4, seed=5)
    numbers = made(case)
    assert len(set(numbers.lengths)) > 1
    g = found(numbers)
    alone = dataclasses.replace(case, lengths=False, B=1)
    weights = {name: np.zeros_like(p) for name, p in numbers.params.items()}
    for b, T in enumerate(numbers.lengths):
        own = made(dataclasses.replace(alone, T=int(T)))
        own = own.replace(params=numbers.params, x=numbers.x[b : b + 1, :T], y=numbers.y[b : b + 1])
        part = found(own)
        for layer in case.stack:
            for name in case.quantities:
                assert_close(g[name + layer.suffix][b, :T] * case.B, part[name + layer.suffix][0], FRAMEWORK, name)
        for name in weights:
            weights[name] += part[name] / case.B
    agree(g, weights, FRAMEWORK, "sum")


@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
def test_a_single_layer_has_both_names(cell):
    case = Case(cell, initial=True)
    g = found(made(case))
    for name in (*case.quantities, *case.cell_shapes(3), *(f"{state}0" for state in case.states)):
        assert g[f"{name}_l0"] is g[name]
        np.testing.assert_array_equal(g.direct[f"{name}_l0"], g.direct[name])


@pytest.mark.parametrize("case", RAGGED, ids=lambda case: f"{case.cell} {case.read}")
def test_two_calls_agree_and_arguments_are_never_written_to(case):
    numbers = made(case)
    arrays = [*numbers.params.values(), *data(numbers)]
    for array in arrays:
        array.flags.writeable = False
    kept = [array.copy() for array in arrays]
    one, two = found(numbers), found(numbers)
    for name in one:
        np.testing.assert_array_equal(two[name], one[name])
    for name in one.direct:
        np.testing.assert_array_equal(two.direct[name], one.direct[name])
    again = {name: one[name].copy() for name in one}
    _ = {name: one.direct[name] for name in one.direct}
    for name, array in again.items():  # asking for the direct gradients leaves the total ones alone
        np.testing.assert_array_equal(one[name], array)
    for array, copy in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_data_by_name():
    case = RAGGED[0]
    numbers = made(case)
    names = ["x", "y", "lengths", "weight", *numbers.initial]
    named = dict(zip(names, data(numbers), strict=True))
    g = gradients(network(case), dict(numbers.params), **named)
    agree(g, dict(found(numbers)), FRAMEWORK, "total")


# ---------------------------------------------------------------------------------------------- planted faults


CASE = Case("lstm", layers=2, bidirectional=True, lengths=True, initial=True, read="each", T=6, B=3)


def swapped(g, one, other):
    return {**g, one: g[other], other: g[one]}


def shifted(array):
    """Off by one in time."""
    return np.concatenate([array[:, 1:], np.zeros_like(array[:, :1])], 1)


def leaking(array, mask):
    return np.where(mask[..., None], array, array[:, :1])


FAULTS = {
    "two gates swapped": lambda g, direct, mask: swapped(g, "i_l0", "f_l0"),
    "two gates' weights swapped": lambda g, direct, mask: swapped(g, "W_i_l1", "W_o_l1"),
    "directions swapped": lambda g, direct, mask: swapped(g, "h_l0", "h_l0_reverse"),
    "layers swapped": lambda g, direct, mask: swapped(g, "c_l0", "c_l1"),
    "a bias forgotten": lambda g, direct, mask: {**g, "b_f_l0": 0 * g["b_f_l0"]},
    "state off by one in time": lambda g, direct, mask: {**g, "h_l0": shifted(g["h_l0"])},
    "direct reported as total": lambda g, direct, mask: {**g, "h_l0": direct["h_l0"]},
    "direct reported as total, c": lambda g, direct, mask: {**g, "c_l1_reverse": direct["c_l1_reverse"]},
    "padding that leaks": lambda g, direct, mask: {**g, "a_g_l0": leaking(g["a_g_l0"], mask)},
    "a sum that should be a mean": lambda g, direct, mask: {**g, "V": 3 * g["V"]},
    "one entry": lambda g, direct, mask: {**g, "U_g_l0": g["U_g_l0"] + 1e-9 * np.eye(*g["U_g_l0"].shape)},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault):
    numbers = made(CASE)
    g = found(numbers)
    reference = asked(numbers, plain_loops(numbers).total)
    copies = {name: g[name].copy() for name in g}
    agree(copies, reference, FRAMEWORK, "total")
    with pytest.raises(CheckFailed, match="total"):
        agree(FAULTS[fault](copies, g.direct, numbers.mask), reference, FRAMEWORK, "total")


def forget_later_c(case, p, x, s, q, d, into):
    g, dx, before = LSTM_BACK(case, p, x, s, q, d, into)
    return g, dx, before | {"c": 0 * before["c"]}


def forget_c_through_the_output(case, p, x, s, q, d, into):
    """As if h = o·tanh(c) gave nothing to c."""
    o = q["o"]
    g, dx, before = LSTM_BACK(case, p, x, s, q | {"o": 0 * o}, d, into)
    return g, dx, before


def forget_a_gate(case, p, x, s, q, d, into):
    g, dx, before = LSTM_BACK(case, p, x, s, q, d, into)
    return g, dx, before | {"h": before["h"] - p["W_f"].T @ g["a_f"]}


def reset_on_the_other_side(case, p, x, s, q, d, into):
    other = dataclasses.replace(case, reset="before" if case.reset == "after" else "after")
    return GRU_BACK(other, p, x, s, q, d, into)


def forget_what_passes_by(case, p, x, s, q, d, into):
    g, dx, before = GRU_BACK(case, p, x, s, q, d, into)
    return g, dx, {"h": before["h"] - d["h"] * q["z"]}


def slope_of_the_output(case, p, x, s, q, d, into):
    """g′(h) in place of g′(a)."""
    return ELMAN_BACK(case, p, x, s, q | {"a": q["h"]}, d, into)


ELMAN_BACK, LSTM_BACK, GRU_BACK = (recurrent_oracle.CELLS[k][1] for k in ("elman", "lstm", "gru"))
WRONG = {
    f.__name__: (cell, f)
    for cell, f in (
        ("elman", slope_of_the_output),
        ("lstm", forget_later_c),
        ("lstm", forget_c_through_the_output),
        ("lstm", forget_a_gate),
        ("gru", reset_on_the_other_side),
        ("gru", forget_what_passes_by),
    )
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_backward_pass_is_caught(monkeypatch, fault):
    """The oracle with a fault in it disagrees with the library, and with torch and the complex step, by far."""
    cell, back = WRONG[fault]
    numbers = made(Case(cell, layers=2, bidirectional=True, lengths=True, initial=True, T=4, B=2))
    right = [found(numbers), with_torch(numbers).total, with_complex_step(numbers).total]
    monkeypatch.setitem(recurrent_oracle.CELLS, cell, (recurrent_oracle.CELLS[cell][0], back))
    wrong = asked(numbers, plain_loops(numbers).total)
    for total in right:
        worst = max(relative_error(total[name], array) for name, array in wrong.items() if name in total)
        assert worst > 1e-3
