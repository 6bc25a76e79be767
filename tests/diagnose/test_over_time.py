"""The numbers of a recurrent layer at each step and of each unit, against loops."""

import math

import numpy as np
import pytest
import torch

from everygrad.checks.tolerance import assert_close
from everygrad.diagnose import Unrolled, over_time
from tests.diagnose.plain import accumulator, elman

RAGGED = np.array([[True] * 6, [True] * 4 + [False] * 2, [True] + [False] * 5])


def layer(activation: str = "tanh", mask: np.ndarray | None = None, reverse: bool = False) -> Unrolled:
    rng = np.random.default_rng(0)
    W, a_in, direct = rng.normal(size=(5, 5)), rng.normal(size=(3, 6, 5)), rng.normal(size=(3, 6, 5))
    made = elman(W, a_in, direct, activation, reverse)
    return Unrolled(**{**{f: getattr(made, f) for f in made.__dataclass_fields__}, "mask": mask})


def entries(
    array: np.ndarray, mask: np.ndarray | None, step: int | None = None, unit: int | None = None
) -> list[float]:
    """The numbers of one step, or of one unit, that are no padding."""
    B, T, n = array.shape
    steps, units = range(T) if step is None else [step], range(n) if unit is None else [unit]
    return [float(array[b, t, j]) for b in range(B) for t in steps for j in units if mask is None or mask[b, t]]


def root_mean_square(numbers: list[float]) -> float:
    return math.sqrt(math.fsum(v * v for v in numbers) / len(numbers))


@pytest.mark.parametrize("mask", [None, RAGGED], ids=["whole", "ragged"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_each_step_and_each_unit_against_loops(activation: str, mask: np.ndarray | None):
    given = layer(activation, mask)
    found = over_time(given)
    for name in ("a", "h"):
        series = found[name]
        value, total, direct = given.values[name], given.total[name], given.direct[name]
        steps = [t for t in range(6) if mask is None or mask[:, t].any()]
        for array, numbers, what in ((total, series.total, "total"), (direct, series.direct, "direct")):
            expected = [root_mean_square(entries(array, mask, t)) for t in steps]
            assert_close(numbers[steps], np.array(expected), name=f"{name} {what}")
        assert_close(series.mean[steps], np.array([np.mean(entries(value, mask, t)) for t in steps]))
        for j in range(5):
            assert_close(series.unit_total[j], np.array(root_mean_square(entries(total, mask, unit=j))))
            assert_close(series.unit_mean[j], np.array(np.mean(entries(value, mask, unit=j))))
    g_slope = (lambda a: 1 - math.tanh(a) ** 2) if activation == "tanh" else (lambda a: float(a > 0))
    slopes = found["h"].slopes
    a = given.values["a"]
    for t in range(6):
        here = [g_slope(v) for v in entries(a, mask, t)]
        assert_close(slopes.slope[t], np.array(np.mean(here)), name="slope")
        assert_close(slopes.flat[t], np.array(np.mean([s < 0.01 for s in here])), name="flat")
    for j in range(5):
        here = [g_slope(v) for v in entries(a, mask, unit=j)]
        assert_close(slopes.unit_zero[j], np.array(np.mean([s == 0 for s in here])), name="zero")
        assert_close(slopes.unit_flat[j], np.array(np.mean([s < 0.01 for s in here])), name="flat of a unit")
        assert slopes.dead[j] == all(s == 0 for s in here)
    assert found["a"].slopes is None
    assert (slopes.before, slopes.activation, slopes.switches) == ("a", activation, activation == "relu")
    np.testing.assert_array_equal(found.samples, [3] * 6 if mask is None else [3, 2, 2, 2, 1, 1])


@pytest.mark.parametrize("reverse", [False, True])
def test_the_gain_is_what_one_step_back_multiplies_by(reverse: bool):
    given = layer(reverse=reverse)
    found = over_time(given)
    total, direct = given.total["h"], given.direct["h"]
    ahead = {t: t - 1 if reverse else t + 1 for t in range(6)}
    for t in range(6):
        if 0 <= ahead[t] < 6:
            came = root_mean_square(entries(total - direct, None, t))
            assert_close(found.gain[t], np.array(came / root_mean_square(entries(total, None, ahead[t]))))
        else:
            assert math.isnan(found.gain[t])
    assert found.backwards() == list(range(6))[:: 1 if reverse else -1]
    assert_close(np.array(found.radius["W"]), np.array(max(abs(np.linalg.eigvals(given.recurrent["W"])))))


def test_several_states_are_taken_together():
    rng = np.random.default_rng(1)
    h, c, dh, dc = rng.normal(size=(4, 2, 7, 3))
    wide = np.concatenate([h, h], axis=2)
    given = Unrolled("l0", ("h", "c"), {}, {"h": h, "c": c}, {"h": dh, "c": dc})
    found = over_time(given)
    for t in range(7):
        assert_close(found.total[t], np.array(root_mean_square(entries(h, None, t) + entries(c, None, t))))
        assert_close(found.direct[t], np.array(root_mean_square(entries(dh, None, t) + entries(dc, None, t))))
    doubled = over_time(Unrolled("l0", ("h",), {}, {"h": wide}, {"h": wide}))
    once = over_time(Unrolled("l0", ("h",), {}, {"h": h}, {"h": h}))
    assert_close(doubled.total, once.total, name="a layer twice as wide")
    more = over_time(Unrolled("l0", ("h",), {}, {"h": np.concatenate([h] * 3)}, {"h": np.concatenate([h] * 3)}))
    assert_close(more.total, once.total, name="a batch three times as large")


def test_nothing_underflows_and_padding_is_never_looked_at():
    tiny = accumulator(np.full((2, 900, 3), 0.5), np.ones((2, 3)))
    found = over_time(tiny)
    assert_close(found.total[0], np.array(0.5**899), name="the first step")
    assert 0 < found.total[0] < 1e-260
    poisoned = {name: np.where(RAGGED[..., None], v, np.nan) for name, v in layer(mask=RAGGED).values.items()}
    given = layer(mask=RAGGED)
    again = Unrolled("l0", ("h",), poisoned, given.total, given.direct, squashes=given.squashes, mask=RAGGED)
    assert_close(over_time(again)["h"].mean, over_time(given)["h"].mean)
    assert not over_time(again)["h"].broken_values.any()


def test_a_gate_that_sticks_is_saturated_and_a_moving_one_is_not():
    f = np.full((4, 30, 3), 0.5)
    f[:, :, 0] = 1 - 1e-6
    f[:, :, 1] = 1e-6
    f[:2, :, 2] = 1e-6
    slopes = over_time(accumulator(f, np.ones((4, 3))))["f"].slopes
    assert slopes.saturated == (True, True, False)
    assert_close(slopes.unit_flat, np.array([1.0, 1.0, 0.5]))


def test_what_has_no_array_of_its_own_is_computed():
    from everygrad.diagnose import Squash
    from everygrad.graph.elementwise import Elementwise

    c = np.random.default_rng(0).normal(size=(2, 3, 4)) * 3
    squash = {"tanh(c)": Squash("c", Elementwise("tanh"))}
    found = over_time(Unrolled("l0", ("c",), {"c": c}, {"c": c}, {"c": c}, suffix="_l0", squashes=squash))
    series = found["tanh(c)"]
    assert_close(series.mean, np.array([np.mean([math.tanh(v) for v in entries(c, None, t)]) for t in range(3)]))
    assert (series.kind, series.total, found.named("tanh(c)"), found.named("c")) == (
        "activation",
        None,
        "tanh(c)",
        "c_l0",
    )


def test_torch_tensors_and_single_precision_give_the_same_numbers():
    given = layer()

    def tensors(arrays, dtype):
        return {name: torch.tensor(array, dtype=dtype) for name, array in arrays.items()}

    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        moved = [tensors(arrays, dtype) for arrays in (given.values, given.total, given.direct)]
        other = over_time(Unrolled("l0", ("h",), *moved, squashes=given.squashes, recurrent=given.recurrent))
        here = over_time(given)
        for field in ("total", "direct"):
            assert_close(getattr(other, field), getattr(here, field), tolerance, field)
        assert_close(other["h"].slopes.slope, here["h"].slopes.slope, tolerance, "slope")
