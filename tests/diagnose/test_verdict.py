"""Each kind of illness is found and placed, and healthy networks are left in peace."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import everygrad as eg
from everygrad.diagnose import THRESHOLDS, Thresholds, verdict, worst
from everygrad.graph.losses import SquaredError
from tests.diagnose.cases import gradients_of

DEEP = [8] + [8] * 14 + [3]


def kinds(found) -> list[str]:
    return [finding.kind for finding in found.findings]


@given(
    sizes=st.lists(st.integers(1, 24), min_size=2, max_size=7),
    activation=st.sampled_from(["tanh", "gelu", "silu", "softplus", "leaky_relu", "elu", "identity"]),
    samples=st.integers(1, 33),
    loss=st.sampled_from(["softmax_cross_entropy", "squared_error"]),
    seed=st.integers(0, 1000),
)
def test_quiet_on_healthy_networks(sizes, activation, samples, loss, seed):
    sizes = [*sizes[:-1], max(sizes[-1], 2)]  # the softmax of one output has no gradient
    g = gradients_of(sizes, activation, samples=samples, loss=loss, seed=seed)
    widths = np.array(sizes[1:-1]) if len(sizes) > 2 else np.array([1])
    found = verdict(g)
    if widths.min() >= 4:
        assert found.level == "ok", str(found)
        assert found.culprit is None
    assert "dead" not in kinds(found)


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu", "sigmoid"])
@pytest.mark.parametrize("sizes", [[4, 3], [64, 32, 16, 10], [784, 512, 512, 10]])
def test_quiet_on_usual_networks(sizes, activation):
    found = verdict(gradients_of(sizes, activation))
    assert found.level == "ok", str(found)
    assert found.headline.startswith("Healthy: ")


@pytest.mark.parametrize("sizes", [[1, 1], [1, 1, 1], [3, 1, 1, 1]])
def test_quiet_on_one_unit_and_one_sample(sizes):
    found = verdict(gradients_of(sizes, "tanh", samples=1, loss="squared_error"))
    assert (found.level, found.findings) == ("ok", ())


def test_half_of_the_rectifiers_are_off_for_one_sample_and_that_is_normal():
    found = verdict(gradients_of([8, 32, 3], "relu", samples=1))
    assert (found.level, found.findings) == ("ok", ())


def test_a_deep_sigmoid_network_vanishes():
    g = gradients_of(DEEP, "sigmoid")
    found = verdict(g)
    (finding,) = found.findings
    assert (found.level, finding.kind) == ("error", "vanishing")
    rms = [float(np.sqrt(np.mean(g[f"a{i}"] ** 2))) for i in range(1, 16)]
    below = [i for i in range(15, 0, -1) if rms[i - 1] / rms[-1] < THRESHOLDS.vanishing]
    assert finding.where == found.culprit == f"a{below[0]}"
    assert rms[below[0]] / rms[-1] >= THRESHOLDS.vanishing  # the layer behind it is still above
    assert abs(finding.number - min(rms) / rms[-1]) < 1e-12 * finding.number
    assert finding.threshold == THRESHOLDS.vanished
    assert "sigmoid" in finding.advice
    assert "a1 gets" in found.headline


def test_a_moderately_deep_sigmoid_network_is_warned_about():
    assert verdict(gradients_of([8] + [8] * 6 + [3], "sigmoid")).level == "warning"


def test_a_deep_linear_network_with_large_weights_explodes():
    found = verdict(gradients_of(DEEP, "identity", scale=5.0))
    assert found.level == "error"
    assert kinds(found) == ["exploding", "huge loss"]
    assert found.findings[0].number > THRESHOLDS.exploded
    assert found.culprit not in ("a15", "a1")


def test_a_deep_linear_network_with_small_weights_vanishes():
    found = verdict(gradients_of(DEEP, "identity", scale=0.2))
    assert kinds(found) == ["vanishing"]
    assert "Larger initial weights" in found.findings[0].advice


def test_large_weights_saturate():
    found = verdict(gradients_of([8, 16, 16, 3], "tanh", scale=500.0))
    first = found.findings[0]
    assert (found.level, first.kind, first.where) == ("error", "saturated", "h2")
    assert "h1 (" in first.text
    assert first.number >= first.threshold == THRESHOLDS.layer_share


@pytest.mark.parametrize("samples", [1, 8, 64])
def test_a_bias_of_minus_100_kills_rectifiers(samples):
    found = verdict(gradients_of([8, 32, 16, 3], "relu", bias=-100.0, samples=samples))
    (finding,) = found.findings
    assert found.level == ("error" if samples >= THRESHOLDS.few_samples else "warning")
    assert (finding.kind, finding.where, finding.number) == ("dead", "h2", 1.0)  # the nearest to the loss
    assert finding.text.startswith("All 16 units of h2 are dead")
    assert "h1 (32 of 32)" in finding.text


def test_a_few_dead_units_are_noted_and_many_are_warned_about():
    for count, level in ((3, "ok"), (20, "warning")):
        net = eg.FeedForward([8, 32, 3], activation="relu")
        params, rng = net.init(0), np.random.default_rng(0)
        params["b1"] = np.where(np.arange(32) < count, -100.0, 2.0)
        found = verdict(eg.gradients(net, params, rng.normal(size=(64, 8)), rng.integers(0, 3, 64)))
        (finding,) = found.findings
        assert (found.level, finding.level, finding.kind) == (level, level, "dead")
        assert finding.text.startswith(f"{count} of 32 units of h1 are dead")


def test_a_weight_that_gets_nothing_is_named():
    net = eg.FeedForward([4, 5, 3])
    params = net.init(0)
    found = verdict(eg.gradients(net, params, np.zeros((9, 4)), np.arange(9) % 3))
    assert kinds(found) == ["zero gradient"]
    assert found.culprit == "W2"  # tanh(W1 0 + 0) = 0 multiplies it; W1 is further from the loss
    params["W2"] = np.zeros((3, 5))
    x = np.random.default_rng(0).normal(size=(9, 4))
    assert verdict(eg.gradients(net, params, x, np.arange(9) % 3)).culprit == "h1"


def test_a_perfect_fit_is_a_note():
    net = eg.FeedForward([2, 2], loss="squared_error")
    params = {"W1": np.eye(2), "b1": np.zeros(2)}
    x = np.ones((3, 2))
    found = verdict(eg.gradients(net, params, x, x))
    assert (found.level, kinds(found)) == ("ok", ["small loss"])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_a_huge_loss_is_measured_per_sample(reduction):
    net = eg.FeedForward([2, 1], loss=SquaredError(reduction))
    params = {"W1": np.zeros((1, 2)), "b1": np.zeros(1)}
    for size, level in ((900.0, "ok"), (1100.0, "warning")):
        found = verdict(eg.gradients(net, params, np.ones((50, 2)), np.full((50, 1), size)))
        assert found.level == level
        if level == "warning":
            assert (found.culprit, found.findings[0].number) == ("loss", 1100.0**2)


def test_what_is_not_finite_is_placed():
    g = gradients_of([4] + [4] * 6 + [3], "identity", scale=1e60, check_finite=False)
    found = verdict(g)
    first = next(f"a{i}" for i in range(1, 8) if not np.isfinite(g.trace[f"a{i}"]).all())
    assert (found.level, found.culprit, kinds(found)) == ("error", first, ["not finite"])


def test_a_gradient_that_overflows_is_placed():
    def f(x):
        y = eg.ops.sqrt(x)
        return eg.ops.reduce(eg.ops.sum(y))

    found = verdict(eg.gradients(eg.graph(f), {}, np.zeros((2, 3)), check_finite=False))
    assert (found.culprit, found.findings[0].number) == ("x", 6.0)


def test_thresholds_can_be_moved():
    g = gradients_of([64, 32, 16, 10], "tanh")
    assert verdict(g, Thresholds(vanishing=0.9)).level == "warning"


def test_the_worst_level():
    assert worst([]) == "ok"
    assert worst(["ok", "error", "warning"]) == "error"


def test_printing_gives_text_and_advice():
    found = verdict(gradients_of(DEEP, "sigmoid"))
    lines = str(found).splitlines()
    assert lines[0] == f"error: {found.headline}"
    assert lines[1:] == [f"  - {found.findings[0].text}", f"    {found.findings[0].advice}"]
