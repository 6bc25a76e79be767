"""The tables of ``make bench``: the README's figures are those that were measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import first, growth
from benchmarks.aims import AIMS, judged
from benchmarks.peak import peaks
from benchmarks.profile import PARTS, profile
from benchmarks.table import aim_lines, figures, first_lines, growth_lines, markdown, merged, number, rows, with_figures
from benchmarks.timing import Timing, interleaved
from everygrad.networks import LSTM, FeedForward, Recurrent

ROOT = Path(__file__).parents[1]


def stored():
    return json.loads((ROOT / "benchmarks/results.json").read_text("utf-8"))


def test_the_readme_has_the_figures_that_were_measured():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert with_figures(readme, figures(stored())) == readme
    assert markdown(stored()) == (ROOT / "benchmarks/RESULTS.md").read_text("utf-8")


def test_every_figure_is_in_the_table():
    results = stored()
    text = markdown(results)
    for row in results["rows"]:
        line = next(x for x in text.splitlines() if x.startswith(f"| {row['case']} | {row['contender']} |"))
        assert f"{row['best_ms']:.3f}" in line
        assert row["ours"] or number(row["ours_over_this"]) in line
        assert row["ours"] or number(row["best_over_this"][1]) in line


def test_ratios_are_taken_round_by_round():
    times = {
        "everygrad": (1.0, 2.0, 3.0, 4.0),
        "everygrad, quick": (0.5, 1.0, 6.0, 0.4),
        "rival": (2.0, 2.0, 12.0, 16.0),
    }
    ours, quick, rival = rows("a case", Timing(times), "2026-01-02", {"rival": 2**20})
    assert (ours["ours"], ours["ours_over_this"], ours["best_ms"], ours["median_ms"]) == (True, 1.0, 1.0, 2.5)
    assert (quick["ours"], quick["median_ms"], rival["best"]) == (True, 0.75, "everygrad, quick")
    assert (rival["ours"], rival["ours_over_this"], rival["rounds"]) == (False, 0.375, 4)
    assert rival["best_over_this"][1] == 0.375  # the median of 0.25, 0.5, 0.5 and 0.025
    text = markdown({"machine": {"cores": "2"}, "rows": [ours, quick, rival], "profiles": {}, "fits": [], "first": []})
    assert "1.0 MiB" in text


def test_a_case_that_is_measured_again_takes_its_old_place():
    old = [{"case": c, "contender": n, "x": 1} for c in "ab" for n in "pq"]
    new = [{"case": "a", "contender": "p", "x": 2}, {"case": "c", "contender": "p", "x": 2}]
    found = [(r["case"], r["contender"], r["x"]) for r in merged(old, new)]
    assert found == [("a", "p", 2), ("b", "p", 1), ("b", "q", 1), ("c", "p", 2)]


def test_every_contender_runs_once_in_each_round():
    ran = []
    timing = interleaved({name: lambda name=name: ran.append(name) for name in "ab"}, 0.01, at_least=0.0, pause=0.0)
    assert {name: len(times) for name, times in timing.milliseconds.items()} == {"a": 5, "b": 5} or len(ran) > 20
    measured = ran[8:]  # three to warm up and one to see how long it takes, each
    assert measured[:8] == ["a", "a", "b", "b", "b", "b", "a", "a"]  # one that is not timed, one that is


def row(case, contender, ratio, median=1.0):
    return {"case": case, "contender": contender, "best_over_this": (ratio, ratio, ratio), "median_ms": median}


def test_aims_are_judged_and_what_is_missed_shows_where_its_time_goes():
    case = "lstm, T 200, B 64, 128 inputs, 256 units"
    table = [
        row(case, "everygrad, all quantities", 1.0),
        row(case, "the matrix products alone", 1.2, 2.0),
        row(case, "jax.grad, jit, all quantities", 0.49, 10.0),
        row(case, "torch autograd, loop of cells, retain_grad", 0.4, 8.0),
        row("elman, T 400, B 1, 16 inputs, 64 units", "torch autograd, fused layer, parameters only", 0.09),
        row("2-3-2 (tiny), B 1", "the matrix products alone", 19.0),
    ]
    found = [(r["contender"], aim.limit, measured) for r, aim, measured in judged(table)]
    assert found == [
        ("jax.grad, jit, all quantities", 0.5, 0.49),
        ("torch autograd, loop of cells, retain_grad", 0.1, 0.4),
        ("torch autograd, fused layer, parameters only", 0.1, 0.09),
    ]
    profiles = {case: {"engine": "compiled", "milliseconds": dict.fromkeys(PARTS, 1.5)}}
    text = "\n".join(aim_lines({"rows": table, "profiles": profiles}))
    assert f"| {case} | jax.grad, jit, all quantities | 0.50 | 0.49 | met | 0.20 |" in text
    assert f"| {case} | torch autograd, loop of cells, retain_grad | 0.10 | 0.40 | **missed** | 0.25 |" in text
    assert f"| {case} | compiled | 1.5 | 1.5 | 1.5 | 1.5 |" in text


def test_every_aim_speaks_of_some_case():
    table = stored()["rows"]
    for aim in AIMS:
        assert any(aim.fits(r) for r in table), aim


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
def test_a_profile_divides_the_time_of_a_pass(engine):
    net = Recurrent(LSTM(3, 8), outputs=2, read="last")
    x, y = np.random.default_rng(0).normal(size=(4, 6, 3)), np.array([0, 1, 1, 0])
    found = profile(net, net.init(0), (x, y), engine)
    assert list(found) == list(PARTS)
    assert found["loops and compiled parts"] > 0.0
    assert found["matrix products"] > 0.0


def test_memory_of_the_structured_tensor_does_not_grow_with_its_cube():
    found = peaks("the tensor of d = 128", ["everygrad, structured", "torch.func.jacrev"])
    assert found["everygrad, structured"] < 2**20
    assert found["torch.func.jacrev"] > 128**3 * 4 / 2  # some of it fits into what the process holds already
    assert peaks("another case", ["anybody"]) == {}


def test_the_slope_of_a_known_cost_is_found(monkeypatch):
    monkeypatch.setattr(growth, "ours", lambda p: p)
    monkeypatch.setattr(growth, "problem", lambda cell, size: size)
    monkeypatch.setattr(growth, "best", lambda size, seconds: 3.0 * size[0] * size[1] * size[3] ** 2)
    found = growth.fits(0.0)
    assert [row["what"] for row in found] == ["T", "B", "d"]
    for row in found:
        assert abs(row["slope"] - row["predicted"]) < 1e-12
        assert f"| {row['predicted']:.2f} | {row['predicted']:g} |" in "\n".join(growth_lines([row]))


def test_first_calls_are_those_of_new_networks(monkeypatch):
    made = []
    monkeypatch.setattr(first, "NETWORKS", {"2-3-2, B 1": lambda: made.append(1) or FeedForward([2, 3, 2])})
    ((row),) = first.first_calls(rounds=3)
    assert len(made) == 3
    assert len(row["median_ms"]) == first.CALLS
    assert row["case"] in "\n".join(first_lines([row]))
