"""Each illness over time is found, with the layer, the step and the gate; healthy layers are left in peace."""

from dataclasses import replace

import numpy as np
import pytest

from everygrad.diagnose import THRESHOLDS, Thresholds, Unrolled, over_time, verdict_over_time
from tests.diagnose.plain import accumulator, elman


def kinds(found) -> list[str]:
    return [finding.kind for finding in found.findings]


def orthogonal(n: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]


def last_step(batch: int, steps: int, units: int, reverse: bool = False) -> np.ndarray:
    """A loss on the last step: direct gradients are zero at all others, as they should be."""
    direct = np.zeros((batch, steps, units))
    direct[:, 0 if reverse else -1] = np.random.default_rng(3).normal(size=(batch, units))
    return direct


def small_inputs(batch: int, steps: int, units: int, scale: float = 0.3) -> np.ndarray:
    return np.random.default_rng(4).normal(size=(batch, steps, units)) * scale


def judged(*layers: Unrolled, thresholds: Thresholds = THRESHOLDS):
    return verdict_over_time([over_time(layer, thresholds) for layer in layers], thresholds)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("everywhere", [False, True], ids=["loss at the end", "loss at each step"])
def test_quiet_on_a_healthy_network(reverse: bool, everywhere: bool):
    direct = np.random.default_rng(5).normal(size=(4, 20, 6)) if everywhere else last_step(4, 20, 6, reverse)
    found = judged(elman(orthogonal(6), small_inputs(4, 20, 6), direct, reverse=reverse))
    assert (found.level, found.findings, found.culprit) == ("ok", (), None)
    assert found.headline.startswith("Healthy: the gradient reaches 20 steps of h")


def test_a_matrix_that_shrinks_makes_the_gradient_vanish():
    given = elman(0.5 * orthogonal(6), small_inputs(4, 40, 6), last_step(4, 40, 6))
    found = judged(given)
    (finding,) = found.findings
    rms = np.sqrt(np.square(given.total["h"]).mean((0, 2)))
    below = [t for t in range(39, -1, -1) if rms[t] / rms[39] < THRESHOLDS.forgotten]
    assert (found.level, finding.kind, finding.layer, finding.step) == ("error", "vanishing", "l0", below[0])
    assert 26 <= below[0] <= 30  # 0.5 per step, a little less by the slopes: 1e-4 after about 13 steps
    assert finding.where == found.culprit == f"h at step {below[0]}"
    assert abs(finding.number - rms[0] / rms[39]) < 1e-12 * finding.number
    assert finding.threshold == THRESHOLDS.vanished
    assert "the largest eigenvalue of W has magnitude 0.5, below 1" in finding.text
    assert "what arrives at step 39" in finding.text
    assert "orthogonal W" in finding.advice
    assert "gated cell" in finding.advice


def test_a_short_way_is_a_warning_and_a_shorter_one_nothing():
    for steps, level in ((16, "warning"), (9, "ok")):
        found = judged(elman(0.5 * orthogonal(6), small_inputs(4, steps, 6), last_step(4, steps, 6)))
        assert found.level == level


def test_large_weights_explode():
    found = judged(elman(2.0 * orthogonal(6), small_inputs(4, 30, 6, 1e-14), 1e-30 * last_step(4, 30, 6)))
    (finding,) = found.findings
    assert (found.level, finding.kind, finding.step) == ("error", "exploding", 19)  # 2¹⁰ > 1000, ten steps back
    assert "has magnitude 2, above 1" in finding.text
    assert "Clip the norm" in finding.advice
    assert abs(finding.number - 2.0**29) < 1e-6 * finding.number


def test_an_activation_that_is_flat_is_the_cause():
    found = judged(elman(orthogonal(6), small_inputs(4, 12, 6) + 2.5, last_step(4, 12, 6)))
    finding = next(f for f in found.findings if f.kind == "vanishing")
    assert finding.where.startswith("h at step ")
    assert "the slope of tanh at h is 0.0" in finding.text
    assert "layer norm" in finding.advice


def test_a_gate_that_forgets_is_the_cause():
    found = judged(accumulator(np.full((3, 40, 5), 0.6), np.ones((3, 5))))
    (finding,) = found.findings
    crossed = next(t for t in range(39, -1, -1) if 0.6 ** (39 - t) < THRESHOLDS.forgotten)
    assert (finding.where, finding.step) == (f"f_l0 at step {crossed}", crossed)
    assert "f_l0 is 0.6 on average" in finding.text
    assert "by a factor of 0.6 at each step" in finding.text
    assert "higher bias of f_l0" in finding.advice
    assert judged(accumulator(np.full((3, 40, 5), 0.9), np.ones((3, 5)))).level == "ok"


def test_one_step_that_forgets_is_the_culprit_and_not_what_lies_behind_it():
    f = np.full((3, 40, 5), 0.97)
    f[:, 25] = 1e-5
    found = judged(accumulator(f, np.ones((3, 5))))
    finding = next(x for x in found.findings if x.kind == "vanishing")
    assert (finding.where, finding.step) == ("f_l0 at step 25", 25)
    assert "Step 25 does it, which multiplies it by 1e-05: f_l0 is 1e-05" in finding.text


def test_a_gate_of_one_minus_z_keeps_by_being_small():
    from everygrad.diagnose import Keeper

    plain = accumulator(np.full((3, 40, 5), 0.5), np.ones((3, 5)))
    inverted = replace(plain, keepers={"c": Keeper("f", inverted=True)})
    (finding,) = judged(inverted).findings
    assert "1 − f_l0 is 0.5 on average" in finding.text
    assert "lower bias of f_l0" in finding.advice


def test_a_gradient_that_stops_at_once_is_no_underflow():
    f = np.full((3, 12, 5), 0.99)
    given = accumulator(f, np.ones((3, 5)))
    total = {"c": np.where(np.arange(12)[:, None] > 6, given.total["c"], 0.0)}
    finding = judged(replace(given, total=total)).findings[0]
    assert (finding.kind, finding.step, finding.number) == ("vanishing", 7, 0.0)
    assert "Step 7 does it" in finding.text


def test_gates_that_stick():
    f = np.full((4, 20, 4), 0.5)
    f[:, :, :2] = 1e-7
    stuck = next(x for x in judged(accumulator(f, np.ones((4, 4)))).findings if x.kind == "saturated")
    assert (stuck.level, stuck.where, stuck.number) == ("warning", "f_l0", 0.5)
    assert stuck.text.startswith("2 of 4 units of f_l0 are saturated: the slope of sigmoid is below 1%")
    shut = judged(accumulator(np.full((4, 20, 4), 1e-7), np.ones((4, 4)))).findings[0]
    assert (shut.level, shut.kind) == ("error", "saturated")
    is_open = judged(accumulator(np.full((4, 20, 4), 1 - 1e-7), np.ones((4, 4))))
    assert [(x.level, x.kind) for x in is_open.findings] == [("warning", "saturated")]  # it lets the gradient through
    few = judged(accumulator(np.full((1, 4, 4), 1e-7), np.ones((1, 4)))).findings
    assert next(x for x in few if x.kind == "saturated").level == "warning"


def test_states_at_the_ends_of_tanh():
    found = judged(elman(3.0 * orthogonal(6), small_inputs(5, 30, 6) + 10.0, last_step(5, 30, 6)))
    assert (found.level, found.findings[0].kind, found.culprit) == ("error", "saturated", "h")
    assert "All 6 units of h are saturated" in found.headline


def test_dead_rectifiers():
    a_in = small_inputs(3, 10, 6) + np.where(np.arange(6) < 4, -50.0, 1.0)
    found = judged(elman(0.5 * orthogonal(6), a_in, np.ones((3, 10, 6)), "relu"))
    dead = next(x for x in found.findings if x.kind == "dead")
    assert (dead.level, dead.where) == ("warning", "h")
    assert dead.text.startswith("4 of 6 units of h are dead: the slope of relu is exactly 0 at every step of 3 seq")
    whole = judged(elman(0.5 * orthogonal(6), small_inputs(3, 10, 6) - 50.0, np.ones((3, 10, 6)), "relu"))
    assert (whole.level, whole.findings[0].kind) == ("error", "dead")


def test_numbers_that_are_not_finite_are_placed_at_the_first_step():
    given = elman(orthogonal(4), small_inputs(3, 9, 4), last_step(3, 9, 4))
    values = {name: v.copy() for name, v in given.values.items()}
    values["h"][1, 5:, 2] = np.inf
    values["a"][1, 6:, :] = np.nan
    found = judged(replace(given, values=values))
    (finding,) = found.findings
    assert (found.level, found.culprit, finding.step, finding.number) == ("error", "h at step 5", 5, 1.0)
    assert "in 1 of 12 places" in finding.text
    total = {name: v.copy() for name, v in given.total.items()}
    total["h"][:, :4] = np.nan
    (finding,) = judged(replace(given, total=total)).findings
    assert (finding.where, finding.number) == ("h at step 3", 12.0)  # the first on the way back
    backwards = elman(orthogonal(4), small_inputs(3, 9, 4), last_step(3, 9, 4, reverse=True), reverse=True)
    (finding,) = judged(replace(backwards, values=values)).findings
    assert finding.where == "a at step 8"  # this layer comes to the last step first


def test_the_layer_where_it_begins_is_named_and_those_behind_it_are_mentioned():
    ill, well = 0.5 * orthogonal(6), orthogonal(6)
    inputs, direct = small_inputs(4, 30, 6), last_step(4, 30, 6)
    top = replace(elman(ill, inputs, direct), label="l1", suffix="_l1")
    # what the lower layer gets directly fades as the upper one does
    below = replace(elman(well, inputs, top.total["h"]), label="l0", suffix="_l0")
    found = judged(below, top)
    assert (found.findings[0].layer, found.culprit) == ("l1", f"h_l1 at step {found.findings[0].step}")
    assert len(found.findings) == 1
    both = judged(replace(elman(ill, inputs, direct), label="l0", suffix="_l0"), top)
    assert both.findings[0].layer == "l1"
    assert "Likewise l0 (" in both.headline
    lower = judged(replace(elman(ill, inputs, direct), label="l0"), replace(elman(well, inputs, direct), label="l1"))
    assert lower.findings[0].layer == "l0"


@pytest.mark.parametrize(("factor", "kind"), [(1e-8, "vanishing"), (1e8, "exploding")])
def test_from_layer_to_layer(factor: float, kind: str):
    inputs, direct = small_inputs(4, 10, 6), last_step(4, 10, 6)
    top = replace(elman(orthogonal(6), inputs, direct), label="l1", suffix="_l1")
    below = replace(elman(orthogonal(6), inputs, factor * direct), label="l0", suffix="_l0")
    (finding,) = judged(below, top).findings
    assert (finding.level, finding.kind, finding.where) == ("error", kind, "h_l0")
    peak = [np.sqrt(np.square(u.total["h"]).mean((0, 2))).max() for u in (below, top)]
    assert abs(finding.number - peak[0] / peak[1]) < 1e-12 * finding.number


def test_a_layer_that_nothing_reaches():
    (finding,) = judged(elman(orthogonal(3), small_inputs(9, 5, 3), np.zeros((9, 5, 3)))).findings
    assert (finding.level, finding.kind, finding.where) == ("warning", "zero gradient", "h")


def test_padding_and_sequences_of_one_step():
    mask = np.arange(20) < np.array([20, 12, 5])[:, None]
    direct = np.zeros((3, 20, 6))
    direct[[0, 1, 2], [19, 11, 4]] = 1.0
    given = elman(orthogonal(6), np.where(mask[..., None], small_inputs(3, 20, 6), 0.0), direct)
    poison = {name: np.where(mask[..., None], v, np.nan) for name, v in given.values.items()}
    assert judged(replace(given, values=poison, mask=mask)).level == "ok"
    one = judged(elman(orthogonal(6), small_inputs(9, 1, 6), last_step(9, 1, 6)))
    assert (one.level, one.findings) == ("ok", ())
    nobody = replace(given, mask=np.zeros_like(mask))
    assert judged(nobody).level in ("ok", "warning")


def test_thresholds_can_be_moved():
    given = elman(0.5 * orthogonal(6), small_inputs(4, 40, 6), last_step(4, 40, 6))
    assert judged(given, thresholds=Thresholds(forgotten=0.0, vanished=0.0)).level == "ok"
    loose = judged(given, thresholds=Thresholds(forgotten=0.4, vanished=0.0))
    assert (loose.level, loose.findings[0].step) == ("warning", 37)
