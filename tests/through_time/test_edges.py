"""Leaving quantities out between others changes nothing but the cost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everygrad.checks.tolerance import assert_close
from everygrad.graph.time import run
from everygrad.jacobians import Dense, Diagonal
from everygrad.through_time import bound, credit, decay, lyapunov, state_product, truncated
from everygrad.through_time.steps import Steps
from tests.through_time.cells import EXAMPLES, case
from tests.through_time.programs import program
from tests.through_time.test_any_cell import numbers


def edge_count(steps):
    return sum(map(len, steps.edges.values()))


def test_what_is_left_of_an_lstm():
    ran = case("lstm").run
    whole, merged = Steps(ran, merge=False), Steps(ran)
    products = {name for name, edges in merged.edges.items() if any(isinstance(J, Dense) for _, J in edges)}
    assert merged.edges.keys() == {"h", "c", *products}  # four products W h, and the states
    assert len(products) == 4
    assert (edge_count(whole), edge_count(merged)) == (21, 10)
    starts = {name: [start for start, _ in merged.edges[name]] for name in "hc"}
    assert sorted(start in products for start in starts["h"]) == [False, True]
    assert sorted(start in products for start in starts["c"]) == [False, True, True, True]
    assert "c" in starts["h"]
    assert "c_prev" in starts["c"]
    assert all(isinstance(J, Diagonal) for name in "hc" for _, J in merged.edges[name])


def test_what_is_asked_for_stays():
    ran = case("lstm").run
    assert {"i", "a_f"} <= Steps(ran, ends=("i", "a_f")).edges.keys()
    used = Steps(ran, wrt=("W_g", "b_o"))
    assert {use.quantity for uses in used.uses.values() for use in uses} <= used.edges.keys()


@settings(max_examples=60)
@given(st.integers(0, 10**9))
def test_pull_and_push_of_any_cell(seed):
    what = program(seed)
    given = numbers(what, seed)
    ran = run(what.cell(), given.x, given.states, given.params, given.mask)
    whole, merged = Steps(ran, merge=False), Steps(ran)
    assert edge_count(merged) <= edge_count(whole)
    rng = np.random.default_rng(seed)
    v = {name: rng.normal(size=(2, ran.steps, ran.batch, n)) for name, n in whole.sizes.items()}
    for act in (Steps.back, Steps.push):
        found, expected = merged.join(act(merged, v)), whole.join(act(whole, v))
        assert_close(found, expected, 1e-12)
        for t in range(ran.steps):
            here = {name: a[:, t] for name, a in v.items()}
            assert_close(merged.join(act(merged, here, t)), found[:, t], 1e-12)


@pytest.mark.parametrize("name", EXAMPLES)
def test_one_step_of_one_sample(name):
    c = case(name, T=1, B=1)
    d = Steps(c.run).size
    J = state_product(c.run)
    assert J.mantissa.shape == (1, d, d)
    assert_close(bound(c.run).step_norm[0], np.exp(J.log_singular_values()[:, 0]))
    assert_close(np.exp(decay(c.run, of="state").log_norms[:, 0]), [np.sqrt(d), np.exp(J.log_scale[0])])
    assert lyapunov(c.run, count=1).exponents.shape == (1, 1)
    parameter = next(iter(c.params))
    table = credit(c.recurrence, wrt=parameter)
    assert_close(table.norms[0, 0], np.linalg.norm(table.total))
    assert_close(truncated(c.recurrence, windows=(1,)).gradients[1][parameter], table.total)
