"""Backpropagation through time against the complex step: a loop of the cell's own values, and nothing else."""

import numpy as np
import pytest

from everygrad.checks.tolerance import assert_close
from everygrad.graph.time import Cell, run, sweep
from everygrad.graph.time.segments import run_segments, sweep_segments
from tests.graph.time.cells import arrays, elman, lstm, odd

STEP = 1e-30
CELLS = {"elman": elman(), "lstm": lstm(), "odd": odd()}
MASKS = {
    "whole": None,
    "ragged": np.arange(6)[:, None] < np.array([6, 3, 1]),
    "holes": np.array([[1, 0, 0, 1, 1, 0], [0, 1, 1, 0, 0, 1], [0, 0, 1, 0, 0, 0]], bool).T,
}


def forward(made: Cell, given: dict, mask, push: dict) -> tuple[dict, dict]:
    """Plain loop over time; ``push`` = {name: (T, B, n)} is added to a quantity as soon as it is computed."""
    states = dict(given["states"])
    found: dict[str, list] = {}
    for t in range(len(given["x"])):
        now = {made.input: given["x"][t], **given["parameters"]}
        now |= {previous: states[name] for name, previous in made.states}
        for node in made.graph.nodes:
            if node.operation is not None:
                now[node.name] = node.operation.value([now[i] for i in node.inputs], node.leads)
            elif node.constant is not None:
                now[node.name] = np.float64(node.constant)
            if node.name in push:
                now[node.name] = now[node.name] + push[node.name][t]
            if node.lead:
                found.setdefault(node.name, []).append(now[node.name])
        keep = np.ones(now[made.input].shape[:1], bool) if mask is None else mask[t]
        for name, _ in made.states:
            states[name] = np.where(keep[:, None], now[name], states[name])
    return {name: np.stack(values) for name, values in found.items()}, states


def loss(made: Cell, given: dict, mask, direct: dict, final: dict, push: dict | None = None):
    found, last = forward(made, given, mask, push or {})
    present = 1.0 if mask is None else mask[..., None]
    total = sum((np.where(present, found[name], 0.0) * g).sum() for name, g in direct.items())
    return total + sum((last[name] * g).sum() for name, g in final.items())


def case(name: str, mask):
    made = CELLS[name]
    given = arrays(made, 6, 3, 2, 4)
    rng = np.random.default_rng(1)
    values, _ = forward(made, given, mask, {})
    direct = {q: rng.normal(size=values[q].shape) for q in made.quantities if q != "score"}
    final = {s: rng.normal(size=(3, 4)) for s, _ in made.states}
    return made, given, direct, final


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("name", CELLS)
def test_every_gradient_is_that_of_the_complex_step(name: str, mask: np.ndarray | None) -> None:
    made, given, direct, final = case(name, mask)
    swept = sweep(run(made, **given, mask=mask), direct, final)
    for part, found in (("parameters", swept.parameters), ("states", swept.initial)):
        for key, g in found.items():
            expected = np.empty(g.shape)
            for index in np.ndindex(g.shape):
                moved = given[part][key].astype(complex)
                moved[index] += 1j * STEP
                changed = {**given, part: {**given[part], key: moved}}
                expected[index] = loss(made, changed, mask, direct, final).imag / STEP
            assert_close(g, expected, name=key)
    assert set(swept.parameters) == set(made.parameters)
    assert set(swept.total) == {made.input, *made.quantities}
    values, _ = forward(made, given, mask, {})
    for key, g in swept.total.items():
        expected = np.zeros(g.shape)
        for index in np.ndindex(g.shape):
            if mask is None or mask[index[:2]]:
                push = {key: np.zeros(values[key].shape, complex)}
                push[key][index] = 1j * STEP
                expected[index] = loss(made, given, mask, direct, final, push).imag / STEP
        assert_close(g, expected, name=key)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("name", CELLS)
def test_the_direct_part_is_that_of_sequences_of_one_step(name: str, mask: np.ndarray | None) -> None:
    made, given, direct, final = case(name, mask)
    ran = run(made, **given, mask=mask)
    swept = sweep(ran, direct, final, carry=False)
    parameters = {key: np.zeros(p.shape) for key, p in given["parameters"].items()}
    for t in range(6):
        for b in range(3):
            if mask is not None and not mask[t, b]:
                assert all((g[t, b] == 0).all() for g in swept.total.values())
                continue
            states = {n: ran.values[p][t, b : b + 1] for n, p in made.states}
            alone = run(made, given["x"][t : t + 1, b : b + 1], states, given["parameters"])
            last = t == (5 if mask is None else np.flatnonzero(mask[:, b]).max())
            ends = {n: g[b : b + 1] for n, g in final.items()} if last else {}
            expected = sweep(alone, {q: g[t : t + 1, b : b + 1] for q, g in direct.items()}, ends)
            for key, g in swept.total.items():
                assert_close(g[t, b], expected.total[key][0, 0], name=f"{key} at {t}")
            for key in parameters:
                parameters[key] += expected.parameters[key]
    for key, g in swept.parameters.items():
        assert_close(g, parameters[key], name=key)


@pytest.mark.parametrize("mask", [None, "ragged"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 9, 10])
def test_segments_give_what_the_whole_run_gives(steps: int, mask: str | None) -> None:
    made = lstm()
    given = arrays(made, steps, 3, 2, 4)
    present = None if mask is None else np.arange(steps)[:, None] < np.array([steps, (steps + 1) // 2, 1])
    rng = np.random.default_rng(2)
    direct, final = {"h": rng.normal(size=(steps, 3, 4))}, {"c": rng.normal(size=(3, 4))}
    expected = sweep(run(made, **given, mask=present), direct, final)
    ran = run_segments(made, **given, mask=present, wanted=("h",))
    swept = sweep_segments(ran, direct, final)
    for key in ("x", "h"):
        assert_close(swept.total[key], expected.total[key], name=key)
    for part in ("initial", "parameters"):
        for key, g in getattr(expected, part).items():
            assert_close(getattr(swept, part)[key], g, name=key)
    assert ran.stored == 3 * 4 * (2 * -(-steps // ran.size) + steps)  # two states a segment, and h


def test_two_sweeps_agree_and_arguments_stay_as_they_were() -> None:
    made, given, direct, final = case("lstm", MASKS["ragged"])
    before = {key: given["parameters"][key].copy() for key in given["parameters"]} | {"x": given["x"].copy()}
    seeds = {key: g.copy() for key, g in direct.items()}
    ran = run(made, **given, mask=MASKS["ragged"])
    one, two = sweep(ran, direct, final), sweep(ran, direct, final)
    for key in one.total:
        np.testing.assert_array_equal(one.total[key], two.total[key])
    for key, array in before.items():
        np.testing.assert_array_equal(array, {**given["parameters"], "x": given["x"]}[key])
    for key, array in seeds.items():
        np.testing.assert_array_equal(array, direct[key])
