import math
from fractions import Fraction

import jax
import numpy as np
import pytest
import torch
from mpmath import mp, mpf

from everygrad.checks.tolerance import assert_close
from everygrad.errors import UnknownNameError
from everygrad.graph.losses import BinaryCrossEntropy, Reduce, SoftmaxCrossEntropy, SquaredError
from everygrad.graph.operation import ShapeProblem
from everygrad.graph.reduction import Reduction
from tests.graph.oracle import assert_local

mp.dps = 60
rng = np.random.default_rng(3)
B, K = 4, 3
Z = rng.normal(size=(B, K)) * 2
LABELS = np.array([0, 2, 1, 2])
P = rng.uniform(0.1, 1, size=(B, K))
P = P / P.sum(1, keepdims=True)
T = rng.normal(size=(B, K))
W = np.array([0.5, 2.0, 0.0, 1.5])


def softmax_by_hand(z, t, smoothing):
    """-Σ_k t_k log softmax(z)_k in sixty digits."""
    z = [mpf(float(v)) for v in z]
    t = [(1 - mpf(smoothing)) * mpf(float(v)) + mpf(smoothing) / len(z) for v in t]
    log_sum = mp.log(sum(mp.exp(v) for v in z))
    return float(sum(t_k * (log_sum - z_k) for t_k, z_k in zip(t, z, strict=True)))


def binary_by_hand(z, t, mean):
    terms = []
    for v, u in zip(z, t, strict=True):
        v, u = mpf(float(v)), mpf(float(u))
        terms.append(u * mp.log(1 + mp.exp(-v)) + (1 - u) * mp.log(1 + mp.exp(v)))
    return float(sum(terms) / (len(terms) if mean else 1))


def squared_by_hand(z, t, mean, half):
    total = sum((float(a) - float(b)) ** 2 for a, b in zip(z, t, strict=True))
    return total / (len(z) if mean else 1) * (0.5 if half else 1)


def reduced(losses, reduction, weight):
    w = [1.0] * len(losses) if weight is None else list(weight)
    terms = [a * b for a, b in zip(losses, w, strict=True)]
    if reduction == "none":
        return np.array(terms)
    return np.array(math.fsum(terms) / (math.fsum(w) if reduction == "mean" else 1))


REDUCTIONS = ("mean", "sum", "none")
WEIGHTS = (None, W)


def inputs(z, t, weight):
    xs = [z, t] if weight is None else [z, t, weight]
    return xs, [1] * len(xs)


@pytest.mark.parametrize("weight", WEIGHTS, ids=["plain", "weighted"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    "target", [LABELS, P, P[:1].repeat(B, 0), LABELS.astype(np.uint8)], ids=["labels", "p", "same", "u8"]
)
def test_softmax_cross_entropy(target, smoothing, reduction, weight):
    op = SoftmaxCrossEntropy(reduction, smoothing)
    xs, leads = inputs(Z, target, weight)
    onehot = np.eye(K)[target] if target.ndim == 1 else target
    losses = [softmax_by_hand(Z[b], onehot[b], smoothing) for b in range(B)]
    assert_close(np.asarray(op.value(xs, leads)), reduced(losses, reduction, weight))
    assert_local(op, xs, leads)


def test_one_hot_whole_numbers_are_distributions():
    onehot = np.eye(K, dtype=int)[LABELS]
    op = SoftmaxCrossEntropy()
    assert op.value([Z, onehot], [1, 1]) == op.value([Z, LABELS], [1, 1])
    assert_local(op, [Z, onehot], [1, 1])


def test_distributions_that_do_not_sum_to_one_have_the_right_derivative_too():
    """Computed targets need not be normalised."""
    assert_local(SoftmaxCrossEntropy(), [Z, 3 * P + 0.2], [1, 1])


@pytest.mark.parametrize("weight", WEIGHTS, ids=["plain", "weighted"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("outputs", ["sum", "mean"])
def test_binary_cross_entropy(outputs, reduction, weight):
    op = BinaryCrossEntropy(reduction, outputs)
    xs, leads = inputs(Z, P, weight)
    losses = [binary_by_hand(Z[b], P[b], outputs == "mean") for b in range(B)]
    assert_close(np.asarray(op.value(xs, leads)), reduced(losses, reduction, weight))
    assert_local(op, xs, leads)


@pytest.mark.parametrize("weight", WEIGHTS, ids=["plain", "weighted"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("outputs", ["sum", "mean"])
@pytest.mark.parametrize("half", [False, True])
def test_squared_error(half, outputs, reduction, weight):
    op = SquaredError(reduction, outputs, half)
    xs, leads = inputs(Z, T, weight)
    losses = [squared_by_hand(Z[b], T[b], outputs == "mean", half) for b in range(B)]
    assert_close(np.asarray(op.value(xs, leads)), reduced(losses, reduction, weight))
    assert_local(op, xs, leads)


@pytest.mark.parametrize(
    "op", [BinaryCrossEntropy(), SquaredError(), BinaryCrossEntropy("none"), SquaredError("none")], ids=repr
)
def test_one_output_may_have_a_number_per_sample_as_target(op):
    z = Z[:, :1]
    assert_local(op, [z, P[:, 0].copy()], [1, 1])
    column = op.value([z, P[:, :1]], [1, 1])
    np.testing.assert_array_equal(op.value([z, P[:, 0]], [1, 1]), column)
    whole = (P[:, 0] > 0.3).astype(int)
    np.testing.assert_array_equal(op.value([z, whole], [1, 1]), op.value([z, whole[:, None] * 1.0], [1, 1]))


@pytest.mark.parametrize("weight", WEIGHTS, ids=["plain", "weighted"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(B,), (B, 1)])
def test_reduce(shape, reduction, weight):
    losses = rng.normal(size=B).reshape(shape)
    op = Reduce(reduction)
    xs = [losses] if weight is None else [losses, weight]
    leads = [1] * len(xs)
    assert_close(np.asarray(op.value(xs, leads)), reduced(losses.ravel().tolist(), reduction, weight))
    assert_local(op, xs, leads)


def over_steps(op, t):
    """Samples and time steps lead: the same as one long batch."""
    steps = 2
    z = Z.reshape(steps, -1, K)
    t = t.reshape(steps, -1, *t.shape[1:])
    w = W.reshape(steps, -1)
    for xs, flat in (([z, t], [Z, t.reshape(B, *t.shape[2:])]), ([z, t, w], [Z, t.reshape(B, *t.shape[2:]), W])):
        value = np.asarray(op.value(xs, [2] * len(xs)))
        assert_close(value, np.asarray(op.value(flat, [1] * len(xs))).reshape(value.shape))
        assert_local(op, xs, [2] * len(xs))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_two_leading_axes(reduction):
    over_steps(SoftmaxCrossEntropy(reduction), LABELS)
    over_steps(SoftmaxCrossEntropy(reduction, 0.1), P)
    for outputs in ("sum", "mean"):
        over_steps(BinaryCrossEntropy(reduction, outputs), P)
        over_steps(SquaredError(reduction, outputs), T)


def test_whole_numbers_as_targets_do_not_widen_the_loss():
    z = Z.astype(np.float32)
    onehot = np.eye(K, dtype=np.int64)[LABELS]
    for op, target in (
        (SoftmaxCrossEntropy(), LABELS),
        (SoftmaxCrossEntropy(), onehot),
        (BinaryCrossEntropy(), onehot),
        (SquaredError(), onehot),
    ):
        y = op.value([z, target], [1, 1])
        assert y.dtype == np.float32
        assert op.local(0, [z, target], y, [1, 1]).dense().dtype == np.float32


def test_everything_is_made_on_the_device_of_the_data():
    """Torch's device without numbers refuses arrays from elsewhere, as an accelerator does."""
    z = torch.zeros((B, K), dtype=torch.float64, device="meta")
    labels = torch.zeros(B, dtype=torch.int64, device="meta")
    for op in (SoftmaxCrossEntropy(), SoftmaxCrossEntropy("none", 0.1)):
        for target in (labels, z):
            y = op.value([z, target], [1, 1])
            assert y.device.type == "meta"
            assert op.local(0, [z, target], y, [1, 1]).r.device.type == "meta"


def test_values_that_are_only_traced_are_not_looked_at():
    op, shapes = SoftmaxCrossEntropy(), [(K,), (), ()]

    def problems(labels, weight):
        assert op.data_problems(1, labels, shapes) == op.data_problems(2, weight, shapes) == []
        return weight

    jax.jit(problems)(LABELS + 9, -W)
    assert op.data_problems(1, LABELS + 9, shapes)
    assert op.data_problems(2, -W, shapes)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reduce_of_a_torch_tensor(reduction):
    losses, weight = torch.from_numpy(T[:, 0].copy()), torch.from_numpy(W)
    op = Reduce(reduction)
    for xs in ([losses], [losses, weight]):
        leads = [1] * len(xs)
        arrays = [x.numpy() for x in xs]
        reference = op.local(0, arrays, op.value(arrays, leads), leads).dense()
        assert_close(op.local(0, xs, op.value(xs, leads), leads).dense(), reference)


def test_reduce_drops_no_weight_in_silence():
    for leads in ([1], [1, 1, 1]):
        with pytest.raises(ValueError, match=r"zip\(\)"):
            Reduce().value([W, W], leads)
        with pytest.raises(ValueError, match=r"zip\(\)"):
            Reduce().local(0, [W, W], W, leads)


def test_nearly_equal_losses_do_not_cancel_in_the_derivative_by_their_weights():
    losses = np.array([1e8, 1e8 + 2.0**-20, 1e8 - 2.0**-22])
    weight = np.array([0.3, 1.7, 0.9])
    exact = [Fraction(v) for v in losses.tolist()]
    w = [Fraction(v) for v in weight.tolist()]
    mean = sum(a * b for a, b in zip(exact, w, strict=True)) / sum(w)
    reference = np.array([float((v - mean) / sum(w)) for v in exact])
    assert_close(Reduction().weight_derivative(losses, weight), reference)
    assert Reduction().weight_derivative(np.array([0.1]), np.array([0.3])) == 0.0


def test_equal_largest_logits():
    """The value of a complex step takes one of them, and the same one everywhere."""
    z = np.array([[1.0, 1.0, 0.5], [-1.0, 2.0, 2.0], [0.25, 0.25, 0.25], [3.0, 0.0, 3.0]])
    for target in (LABELS, P):
        assert_local(SoftmaxCrossEntropy("none"), [z, target], [1, 1])


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("op", "target"),
    [(SoftmaxCrossEntropy, LABELS), (SoftmaxCrossEntropy, P), (BinaryCrossEntropy, P), (SquaredError, T)],
)
def test_one_prediction_or_one_target_for_all_samples(op, target, reduction):
    op = op(reduction)
    for xs, leads in (([Z[0], target], [0, 1]), ([Z, target[0]], [1, 0])):
        every = [np.broadcast_to(x, (B, *np.shape(x))) if not lead else x for x, lead in zip(xs, leads, strict=True)]
        assert_close(np.asarray(op.value(xs, leads)), np.asarray(op.value(every, [1, 1])))
        assert_local(op, xs, leads)


@pytest.mark.parametrize(
    ("op", "shapes", "leads"),
    [
        (SquaredError(), [(3,), (3,), ()], [1, 1, 0]),
        (SquaredError(), [(3,), (3,), ()], [0, 0, 1]),
        (Reduce(), [(), ()], [1, 0]),
        (Reduce(), [(), ()], [0, 1]),
    ],
)
def test_weights_are_of_the_same_samples_as_the_losses(op, shapes, leads):
    with pytest.raises(ShapeProblem) as error:
        op.shape(shapes, leads)
    assert str(error.value) == (
        f"{op.name}: the sample weights and the losses must be of the same samples (data, not parameters)"
    )


def test_a_batch_of_one_and_one_class():
    assert_local(SoftmaxCrossEntropy(), [Z[:1], LABELS[:1]], [1, 1])
    assert SoftmaxCrossEntropy().value([Z[:1, :1], np.array([0])], [1, 1]) == 0.0
    assert_local(SquaredError(), [Z[:1, :1], T[:1, :1]], [1, 1])


@pytest.mark.parametrize("size", [1e2, 1e4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_logits_give_finite_and_correct_loss_and_gradient(size, dtype):
    z = np.array([[size, -size, 0.0], [-size, size, 0.0], [0.0, 0.0, size], [size, size, -size]], dtype=dtype)
    y = np.array([0, 0, 2, 1])
    with np.errstate(all="raise", under="ignore"):
        op = SoftmaxCrossEntropy("none")
        losses = op.value([z, y], [1, 1])
        J = op.local(0, [z, y], losses, [1, 1]).dense()
        reference = [softmax_by_hand(z[b], np.eye(3)[y[b]], 0.0) for b in range(4)]
        assert_close(losses, np.array(reference), 1e-6 if dtype == np.float32 else None)
        np.testing.assert_allclose(J, [[0, 0, 0], [-1, 1, 0], [0, 0, 0], [0.5, -0.5, 0]], atol=1e-40)
        assert losses.dtype == J.dtype == dtype
        op = BinaryCrossEntropy("none")
        t = np.array([[1.0, 0.0, 0.5], [1.0, 0.0, 1.0], [0.25, 1.0, 1.0], [0.0, 1.0, 0.0]], dtype=dtype)
        losses = op.value([z, t], [1, 1])
        reference = [binary_by_hand(z[b], t[b], False) for b in range(4)]
        assert_close(losses, np.array(reference), 1e-6 if dtype == np.float32 else None)
        slope = op.local(0, [z, t], losses, [1, 1]).dense()
        sigma = np.where(z > 0, 1.0, np.where(z < 0, 0.0, 0.5))
        np.testing.assert_allclose(slope, sigma - t, atol=1e-40)


@pytest.mark.parametrize("gap", [5.0, 20.0, 40.0, 300.0])
def test_a_sure_network_keeps_all_digits(gap):
    """ŷ − e_y by subtraction would have lost them: 1 − (1 − 1e-18) is zero."""
    z = np.array([[gap, 0.0, -1.0]])
    y = np.array([0])
    op = SoftmaxCrossEntropy()
    assert_close(np.asarray(op.value([z, y], [1, 1])), np.array(softmax_by_hand(z[0], [1, 0, 0], 0.0)))
    J = op.local(0, [z, y], op.value([z, y], [1, 1]), [1, 1]).dense()
    e = [mp.exp(mpf(v)) for v in z[0].tolist()]
    exact = [float(-(e[1] + e[2]) / sum(e)), float(e[1] / sum(e)), float(e[2] / sum(e))]
    for k in range(3):
        assert_close(J[0, k], np.array(exact[k]))
    assert_local(op, [z, y], [1, 1])
    assert_local(BinaryCrossEntropy(), [np.array([[gap, -gap]]), np.array([[1.0, 0.0]])], [1, 1])


SAMPLES = [1, 1]
PROBLEMS = [
    (
        SoftmaxCrossEntropy(),
        [(2, 2), ()],
        "softmax_cross_entropy: the prediction must be a vector, has feature shape (2, 2)",
    ),
    (SquaredError(), [(), ()], "squared_error: the prediction must be a vector, has feature shape ()"),
    (
        SoftmaxCrossEntropy(),
        [(3,), (4,)],
        "softmax_cross_entropy: 3 classes need labels of shape () or distributions of shape (3,) per sample, got (4,)",
    ),
    (SquaredError(), [(3,), ()], "squared_error: 3 outputs need targets of shape (3,), got ()"),
    (BinaryCrossEntropy(), [(1,), (2,)], "binary_cross_entropy: 1 outputs need targets of shape (1,), got (2,)"),
    (SquaredError(), [(3,), (3,), (1,)], "squared_error: one weight per sample expected, got feature shape (1,)"),
    (Reduce(), [(3,)], "reduce needs one number per sample, got feature shapes [(3,)]: use sum first"),
]


@pytest.mark.parametrize(("op", "shapes", "message"), PROBLEMS)
def test_shapes_that_do_not_fit(op, shapes, message):
    with pytest.raises(ShapeProblem) as error:
        op.shape(shapes, [1] * len(shapes))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (np.array([0, 3, 1]), "class labels must be in [0, 3) for 3 outputs, got 3 at index 1"),
        (np.array([0, 1, -1]), "class labels must be in [0, 3) for 3 outputs, got -1 at index 2"),
        (
            np.array([0.0, 1.0]),
            "class labels must be integers, got dtype float64: y.astype(int), or one distribution per row",
        ),
        (np.array([True]), "class labels must be integers, got dtype bool: y.astype(int), or one distribution per row"),
        (
            np.array([[0.5, 0.5, 0.5]]),
            "target distributions must be non-negative and sum to 1, sums range over [1.5, 1.5]",
        ),
        (
            np.array([[1.5, -0.5, 0.0]]),
            "target distributions must be non-negative and sum to 1, sums range over [1, 1]",
        ),
    ],
)
def test_wrong_labels(target, message):
    assert SoftmaxCrossEntropy().data_problems(1, target, [(3,), target.shape[1:]]) == [message]


def test_right_labels_and_slots_without_demands():
    op = SoftmaxCrossEntropy()
    assert op.data_problems(1, LABELS, [(3,), ()]) == []
    assert op.data_problems(1, P, [(3,), (3,)]) == []
    assert op.data_problems(0, Z, [(3,), ()]) == []
    assert op.data_problems(1, np.eye(3), [(3,), (3,)]) == []
    assert SquaredError().data_problems(1, T * 1e9, [(3,), (3,)]) == []
    assert BinaryCrossEntropy().data_problems(1, np.array([0.0, 1.0]), [(1,), ()]) == []


@pytest.mark.parametrize(("excess", "good"), [(9e-5, True), (-9e-5, True), (1.05e-4, False), (-1.05e-4, False)])
def test_distributions_may_be_rounded_a_little(excess, good):
    problems = SoftmaxCrossEntropy().data_problems(1, np.array([[0.25, 0.75 + excess, 0.0]]), [(3,), (3,)])
    assert (problems == []) is good


def test_distributions_are_added_up_in_float64():
    target = np.array([[1.0, 1e-4, 0.0]], dtype=np.float32)  # in float32 the sum is 1.00010002
    assert SoftmaxCrossEntropy().data_problems(1, target, [(3,), (3,)]) == []


@pytest.mark.parametrize("target", [np.array([0.0, 1.5]), np.array([-0.1, 1.0])])
def test_targets_of_binary_cross_entropy(target):
    low, high = target.min(), target.max()
    message = f"targets of binary cross-entropy must be in [0, 1], got values in [{low:.4g}, {high:.4g}]"
    assert BinaryCrossEntropy().data_problems(1, target, [(1,), ()]) == [message]


def test_labels_and_distributions_over_time_are_told_apart_by_their_feature_shape():
    """Two axes are labels of each step, or distributions of each sample."""
    op = SoftmaxCrossEntropy()
    labels = LABELS.reshape(2, 2)
    assert op.data_problems(1, labels, [(3,), ()]) == []
    assert op.data_problems(1, labels + 1, [(3,), ()]) == [
        "class labels must be in [0, 3) for 3 outputs, got 3 at index (0, 1)"
    ]
    steps = P.reshape(2, 2, 3)
    assert op.data_problems(1, steps, [(3,), (3,)]) == []
    assert op.data_problems(1, P[:, None] * 2, [(3,), (3,)]) == [
        "target distributions must be non-negative and sum to 1, sums range over [2, 2]"
    ]
    assert BinaryCrossEntropy().data_problems(1, steps, [(3,), (3,)]) == []
    assert BinaryCrossEntropy().data_problems(1, -steps, [(3,), (3,)]) != []


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("op", "target"),
    [(SoftmaxCrossEntropy, LABELS), (SoftmaxCrossEntropy, P), (BinaryCrossEntropy, P), (SquaredError, T)],
)
def test_one_prediction_or_one_target_for_all_steps(op, target, reduction):
    z, t = Z.reshape(2, 2, K), target.reshape(2, 2, *target.shape[1:])
    for xs, leads in (([Z[0], t], [0, 2]), ([z, target[0]], [2, 0])):
        every = [np.broadcast_to(x, (2, 2, *np.shape(x))) if not lead else x for x, lead in zip(xs, leads, strict=True)]
        assert_close(np.asarray(op(reduction).value(xs, leads)), np.asarray(op(reduction).value(every, [2, 2])))
        assert_local(op(reduction), xs, leads)


@pytest.mark.parametrize("weight", WEIGHTS, ids=["plain", "weighted"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reduce_over_steps(reduction, weight):
    losses = rng.normal(size=(2, 2))
    xs = [losses] if weight is None else [losses, weight.reshape(2, 2)]
    flat = reduced(losses.ravel().tolist(), reduction, weight)
    found = np.asarray(Reduce(reduction).value(xs, [2] * len(xs)))
    assert_close(found, flat.reshape(found.shape))
    assert_local(Reduce(reduction), xs, [2] * len(xs))


@pytest.mark.parametrize(("w", "good"), [([0.0, 0.0], False), ([-1.0, 2.0], False), ([0.0, 1.0], True)])
def test_sample_weights(w, good):
    expected = [] if good else ["sample weights must be non-negative and must not all be zero"]
    assert SquaredError().data_problems(2, np.array(w), [(1,), (), ()]) == expected


@pytest.mark.parametrize(("w", "good"), [([0.0, 0.0], True), ([-1.0, 2.0], False)])
def test_sample_weights_of_a_sum_may_all_be_zero(w, good):
    expected = [] if good else ["sample weights must be non-negative"]
    for reduction in ("sum", "none"):
        assert SquaredError(reduction).data_problems(2, np.array(w), [(1,), (), ()]) == expected


@pytest.mark.parametrize("bad", [-0.1, 1.0, float("nan")])
def test_smoothing_out_of_range(bad):
    with pytest.raises(ValueError, match=r"^label smoothing must be in \[0, 1\), got"):
        SoftmaxCrossEntropy(smoothing=bad)


def test_unknown_reductions_are_answered_with_the_nearest():
    with pytest.raises(
        UnknownNameError, match=r"^unknown reduction 'maen'. Did you mean 'mean'\? Known: mean, none, sum.$"
    ):
        SquaredError("maen")
    with pytest.raises(
        UnknownNameError, match=r"^unknown reduction over outputs 'sums'. Did you mean 'sum'\? Known: mean, sum.$"
    ):
        Reduction("mean", "sums")


def test_attributes_make_the_operation_again():
    ops = [
        (SoftmaxCrossEntropy("sum", 0.2), {"reduction": "sum", "smoothing": 0.2}),
        (BinaryCrossEntropy("none", "mean"), {"reduction": "none", "outputs": "mean"}),
        (SquaredError("mean", "mean", True), {"reduction": "mean", "outputs": "mean", "half": True}),
        (Reduce("sum"), {"reduction": "sum"}),
        (SoftmaxCrossEntropy(), {"reduction": "mean", "smoothing": 0.0}),
        (SquaredError(), {"reduction": "mean", "outputs": "sum", "half": False}),
        (BinaryCrossEntropy(), {"reduction": "mean", "outputs": "sum"}),
        (Reduce(), {"reduction": "mean"}),
    ]
    for op, attributes in ops:
        assert dict(op.attributes) == attributes
        assert dict(type(op)(**op.attributes).attributes) == attributes
        inside = ", ".join(f"{key}={value!r}" for key, value in attributes.items())
        assert repr(op) == f"{type(op).__name__}({inside})"


def test_formulas():
    ce, bce, se = SoftmaxCrossEntropy(), BinaryCrossEntropy("sum"), SquaredError("none", half=True)
    assert ce.formula("a3", "y") == "softmax_cross_entropy(a3, y)"
    assert ce.local_formula(0, "a3", "y") == "1/B (softmax(a3) - y)"
    assert ce.local_formula(0, "a3", "y", "w") == "c (softmax(a3) - y)"
    assert ce.local_formula(1, "a3", "y") == "1/B (-log softmax(a3))"
    assert ce.local_formula(2, "a3", "y", "w") == "(l - L)/sum(w)"
    assert bce.local_formula(0, "z", "t") == "sigmoid(z) - t"
    assert bce.local_formula(1, "z", "t") == "-z"
    assert bce.local_formula(2, "z", "t", "w") == "l"
    assert bce.local_formula(0, "z", "t", "w") == "c (sigmoid(z) - t)"
    assert se.local_formula(0, "z", "t") == "z - t"
    assert BinaryCrossEntropy("sum", "mean").local_formula(0, "z", "t") == "1/K (sigmoid(z) - t)"
    assert BinaryCrossEntropy("mean", "mean").local_formula(0, "z", "t") == "1/B 1/K (sigmoid(z) - t)"
    smooth = SoftmaxCrossEntropy("sum", smoothing=0.1)
    assert smooth.local_formula(0, "z", "t") == "softmax(z) - (0.9 t + 0.1/K)"
    assert smooth.local_formula(1, "z", "t") == "-0.9 log softmax(z)"
    assert se.local_formula(1, "z", "t") == "t - z"
    assert se.local_formula(0, "z", "t", "w") == "c (z - t)"
    assert SquaredError("sum").local_formula(0, "z", "t") == "2 (z - t)"
    assert SquaredError("sum").local_formula(1, "z", "t") == "2 (t - z)"
    texts = {r: (Reduce(r).formula("l"), Reduce(r).local_formula(0, "l")) for r in REDUCTIONS}
    assert texts == {"mean": ("mean(l)", "1/B"), "sum": ("sum(l)", "1"), "none": ("none(l)", "1")}
    assert Reduce().formula("l", "w") == "mean(l, w)"
    assert Reduce().local_formula(0, "l", "w") == "c"
    assert Reduce().local_formula(1, "l", "w") == "(l - L)/sum(w)"


def test_leading_axes_and_flags():
    for op in (SoftmaxCrossEntropy, SquaredError, BinaryCrossEntropy, Reduce):
        assert op("mean").lead([1, 1]) == op("sum").lead([1, 1]) == 0
        assert op("none").lead([1, 1]) == 1
        assert op("none").lead([2, 2]) == op("none").lead([0, 2]) == 2
        assert op("mean").lead([2, 2]) == 0
        assert op().shows_nonfinite
        assert not op().keeps_finite


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_non_finite_prediction_shows_in_the_loss(bad):
    for op, target in ((SoftmaxCrossEntropy(), LABELS), (SquaredError(), T), (BinaryCrossEntropy(), P)):
        for at in np.ndindex(Z.shape):
            z = Z.copy()
            z[at] = bad
            with np.errstate(all="ignore"):
                assert not np.isfinite(op.value([z, target], [1, 1]))


def test_labels_have_no_derivative_but_distributions_have():
    op = SoftmaxCrossEntropy()
    assert op.differentiable(0, [Z, LABELS])
    assert not op.differentiable(1, [Z, LABELS])
    assert op.differentiable(1, [Z, P])
