"""Functions that are done again as straight-line code, in two parts."""

import dataclasses

import numpy as np
import pytest

from everygrad.backprop.replay import Later, replayed
from everygrad.backprop.template import exchanged
from everygrad.engines import namespace
from everygrad.graph.time import run, sweep
from tests.graph.time import cells


def halves(arrays):
    """Something now, and something later that goes on with what was made on the way to it."""
    xp = namespace(arrays["x"])
    y = xp.tanh(arrays["x"]) * arrays["a"]
    return {"y": y, "x": arrays["x"]}, {"z": y * y, "y": y, "a": arrays["a"]}


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {"x": rng.normal(size=(3, 4)), "a": rng.normal(size=4)}


def test_every_time_the_same(arrays, monkeypatch):
    memo, calls = {}, []

    def compute(given):
        calls.append(type(given["x"]).__name__)
        return halves(given)

    y = np.tanh(arrays["x"]) * arrays["a"]
    for i in range(5):
        now, later = replayed(memo, "halves", compute, arrays)
        assert now["x"] is arrays["x"]
        np.testing.assert_array_equal(now["y"], y)
        assert list(later) == ["z", "y", "a"]
        np.testing.assert_array_equal(later["z"], y * y)
        np.testing.assert_array_equal(later["y"], y)
        assert len(calls) == min(i + 1, 2)
    assert calls == ["ndarray", "Recorded"]


def test_what_is_asked_for_later_is_made_once_and_of_the_arrays_of_its_own_call(arrays):
    memo = {}
    for _ in range(2):
        replayed(memo, "halves", halves, arrays)
    other = {name: array + 1.0 for name, array in arrays.items()}
    first, second = (replayed(memo, "halves", halves, given)[1] for given in (arrays, other))
    np.testing.assert_array_equal(second["z"], halves(other)[1]["z"])
    np.testing.assert_array_equal(first["z"], halves(arrays)[1]["z"])
    assert first["z"] is first["z"]
    with pytest.raises(KeyError):
        first["w"]


def test_other_shapes_have_other_code(arrays):
    memo = {}
    for n in (1, 2, 5, 3):
        given = {"x": np.full((n, 4), 0.5), "a": arrays["a"]}
        for _ in range(3):
            now, _ = replayed(memo, "halves", halves, given)
            np.testing.assert_array_equal(now["y"], np.tanh(0.5) * np.broadcast_to(arrays["a"], (n, 4)))


def test_what_looks_at_numbers_is_done_as_it_is(arrays):
    memo = {}

    def looks(given):
        return {"x": -given["x"] if float(given["x"][0, 0]) > 0 else given["x"]}, {}

    for factor in (1.0, -1.0, 1.0, -1.0):
        given = {**arrays, "x": factor * np.abs(arrays["x"])}
        np.testing.assert_array_equal(replayed(memo, "looks", looks, given)[0]["x"], -np.abs(arrays["x"]))


@pytest.mark.parametrize("masked", [False, True])
def test_runs_and_sweeps(masked):
    made = cells.odd()
    given = cells.arrays(made, 7, 3, 2, 4)
    mask = np.random.default_rng(1).uniform(size=(7, 3)) < 0.6 if masked else None
    names = {"x": given["x"], **given["states"], **given["parameters"]}

    def both(arrays):
        states, parameters = ({n: arrays[n] for n in given[part]} for part in ("states", "parameters"))
        ran = run(made, arrays["x"], states, parameters, arrays.get("mask"))
        return ran, sweep(ran, {}, {"s": ran.final["s"]}).parameters

    arrays = names if mask is None else {**names, "mask": mask}
    expected = both(arrays)
    memo = {}
    for _ in range(4):
        ran, parameters = replayed(memo, "both", both, arrays)
        for field in ("values", "final"):
            for name, value in getattr(expected[0], field).items():
                np.testing.assert_array_equal(getattr(ran, field)[name], value, err_msg=name)
        for name, g in expected[1].items():
            np.testing.assert_array_equal(parameters[name], g, err_msg=name)
        assert ran.kind == expected[0].kind


def test_codes_of_ever_new_sizes_do_not_fill_the_memory(arrays):
    memo = {}
    for n in range(1, 200):
        replayed(memo, "halves", halves, {"x": np.ones((n, 4)), "a": arrays["a"]})
    assert len(memo["replays"]) <= 64


def test_names_that_are_there_do_not_make_the_others():
    made = Later(["b"], lambda: pytest.fail("made"), {"a": 1})
    assert made["a"] == 1
    assert "b" in made
    assert list(made) == ["a", "b"]
    assert len(made) == 2


def test_a_record_keeps_what_is_no_array():
    record = dataclasses.make_dataclass("Record", ["x"])("text")
    assert exchanged(record, lambda value: isinstance(value, np.ndarray), lambda value: None) is record
