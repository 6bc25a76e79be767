import math

import jax
import numpy as np
import pytest
import torch

from everygrad.backprop import gradients, jacobian
from everygrad.checks.tolerance import assert_close
from everygrad.engines import to_numpy
from everygrad.errors import InputError
from everygrad.graph import ops
from everygrad.graph.affine import Affine
from everygrad.graph.arithmetic import Add, Divide, Multiply, Subtract
from everygrad.graph.arrange import Concatenate, Dot, Flatten, Select, Sum, Transpose
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.losses import SquaredError
from everygrad.graph.operation import ShapeProblem
from everygrad.graph.sequence import AtStep, Embedding, KeepSteps, MeanOverTime, StepWeight
from everygrad.graph.steps import counting_problems, kept
from everygrad.graph.symbol import Builder
from everygrad.jacobians import Lookup, Mixture
from tests.graph.oracle import assert_local

rng = np.random.default_rng(5)
B, T, N = 3, 5, 2
H = rng.normal(size=(B, T, N))
LENGTHS = np.array([5, 1, 3])
MASK = np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1]], dtype=bool)
COUNTING = {"lengths": (LENGTHS, 1), "mask": (MASK, 2)}


def counts(counting, b, t):
    """Whether step t of sequence b counts, from the definition."""
    return t < counting[b] if counting.ndim == 1 else bool(counting[b, t])


# ------------------------------------------------------------------------------------------- embedding


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_embedding(shape, dtype):
    E = rng.normal(size=(5, 3))
    tokens = rng.integers(0, 5, shape).astype(dtype)
    lead = len(shape)
    y = Embedding().value([tokens, E], [lead, 0])
    assert y.shape == (*shape, 3)
    for place in np.ndindex(shape):
        for j in range(3):
            assert y[(*place, j)] == E[tokens[place], j]
    assert_local(Embedding(), [tokens, E], [lead, 0])


def test_the_gradient_of_a_table_adds_up_what_each_token_receives():
    E, tokens, g = rng.normal(size=(6, 3)), rng.integers(0, 5, (4, 7)), rng.normal(size=(4, 7, 3))
    J = Embedding().local(1, [tokens, E], E[tokens], [2, 0])
    assert isinstance(J, Lookup)
    assert J.stored == tokens.size  # nothing one-hot
    expected = np.zeros_like(E)
    for place in np.ndindex(tokens.shape):
        expected[tokens[place]] += g[place]
    assert_close(J.pull(g, total=True), expected)
    assert not expected[5].any()
    np.testing.assert_array_equal(J.pull(g, total=True)[5], 0.0)


@pytest.mark.parametrize("library", ["torch", "jax"])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_tables_of_other_libraries(library, dtype):
    E, tokens, g = rng.normal(size=(6, 3)), rng.integers(0, 6, (4, 7)).astype(dtype), rng.normal(size=(4, 7, 3))
    reference = Embedding().local(1, [tokens, E], E[tokens], [2, 0]).pull(g, total=True)
    with jax.enable_x64(True):
        convert = torch.tensor if library == "torch" else jax.numpy.asarray
        xs = [convert(tokens), convert(E)]
        y = Embedding().value(xs, [2, 0])
        np.testing.assert_array_equal(to_numpy(y), E[tokens])
        total = Embedding().local(1, xs, y, [2, 0]).pull(convert(g), total=True)
        assert type(total) is type(xs[1])
        assert_close(to_numpy(total), reference)


def test_an_empty_batch_of_tokens_gives_the_table_no_gradient():
    tokens, E = np.zeros((0,), int), np.ones((3, 2))
    J = Embedding().local(1, [tokens, E], E[tokens], [1, 0])
    np.testing.assert_array_equal(J.pull(np.zeros((0, 2)), total=True), np.zeros((3, 2)))


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (np.array([[0, 4], [1, 1]]), "tokens must be in [0, 4) for a table of 4 rows, got 4 at index (0, 1)"),
        (np.array([0, 3, -1]), "tokens must be in [0, 4) for a table of 4 rows, got -1 at index 2"),
        (np.array([0.0, 1.0]), "tokens must be whole numbers, got dtype float64: tokens.astype(int)"),
        (np.array([True]), "tokens must be whole numbers, got dtype bool: tokens.astype(int)"),
    ],
)
def test_wrong_tokens(tokens, message):
    assert Embedding().data_problems(0, tokens, [(), (4, 2)]) == [message]
    assert Embedding().data_problems(0, np.array([0, 3]), [(), (4, 2)]) == []
    assert Embedding().data_problems(1, np.ones((4, 2)), [(), (4, 2)]) == []


@pytest.mark.parametrize(
    ("shapes", "leads", "message"),
    [
        (
            [(3,), (4, 2)],
            [1, 0],
            "embedding: one whole number for each sample or step is expected, got feature shape (3,)",
        ),
        ([(), (4,)], [1, 0], "embedding: the table E must be a matrix (vocabulary, size), has shape (4,)"),
        ([(), (4, 2)], [1, 1], "embedding: the table E must be a parameter, the same for all samples"),
    ],
)
def test_tables_that_do_not_fit(shapes, leads, message):
    with pytest.raises(ShapeProblem) as error:
        Embedding().shape(shapes, leads)
    assert str(error.value) == message


# ---------------------------------------------------------------------------------- one step, and the mean


@pytest.mark.parametrize("step", [0, 2, 4, -1, -5])
@pytest.mark.parametrize("h", [H, H[..., 0].copy(), H.reshape(B, T, 1, N)], ids=["vectors", "numbers", "matrices"])
def test_at_step(h, step):
    y = AtStep(step).value([h], [2])
    for b in range(B):
        np.testing.assert_array_equal(y[b], h[b, step + T if step < 0 else step])
    assert_local(AtStep(step), [h], [2])


def test_there_must_be_such_a_step():
    for step in (5, -6):
        with pytest.raises(InputError, match=rf"^at_step: there is no step {step} in a sequence of 5 steps$"):
            AtStep(step).value([H], [2])


def mean_by_hand(h, counting):
    y = np.zeros((h.shape[0], *h.shape[2:]))
    for b in range(h.shape[0]):
        steps = [t for t in range(h.shape[1]) if counting is None or counts(counting, b, t)]
        for place in np.ndindex(y.shape[1:]):
            y[(b, *place)] = math.fsum(h[(b, t, *place)] for t in steps) / len(steps)
    return y


@pytest.mark.parametrize("h", [H, H[..., 0].copy(), H.reshape(B, T, 1, N)], ids=["vectors", "numbers", "matrices"])
@pytest.mark.parametrize("counting", [None, "lengths", "mask"])
def test_mean_over_time(h, counting):
    given, lead = COUNTING.get(counting, (None, 0))
    xs, leads = ([h], [2]) if given is None else ([h, given], [2, lead])
    assert_close(MeanOverTime().value(xs, leads), mean_by_hand(h, given))
    assert_local(MeanOverTime(), xs, leads)


def test_a_mean_keeps_one_number_for_each_step():
    J = MeanOverTime().local(0, [H, LENGTHS], H[:, 0], [2, 1])
    assert isinstance(J, Mixture)
    assert (J.batch, J.out_shape, J.in_shape) == ((B,), (N,), (T, N))
    assert J.stored == B * T
    assert MeanOverTime().local(0, [H], H[:, 0], [2]).stored == T


# --------------------------------------------------------------------------------------------- padding


@pytest.mark.parametrize("counting", COUNTING)
@pytest.mark.parametrize("x", [H, H[..., 0].copy()], ids=["vectors", "numbers"])
def test_keep_steps(x, counting):
    given, lead = COUNTING[counting]
    y = KeepSteps().value([x, given], [2, lead])
    for b in range(B):
        for t in range(T):
            np.testing.assert_array_equal(y[b, t], x[b, t] if counts(given, b, t) else 0.0 * x[b, t])
    assert_local(KeepSteps(), [x, given], [2, lead])


def test_keep_steps_leaves_whole_numbers_whole():
    y = KeepSteps().value([np.full((B, T), -7, np.int32), LENGTHS], [2, 1])
    assert y.dtype == np.int32
    np.testing.assert_array_equal(y, np.where(np.arange(T) < LENGTHS[:, None], -7, 0))
    assert not KeepSteps().differentiable(0, [y, LENGTHS])
    assert not KeepSteps().differentiable(1, [H, LENGTHS])


@pytest.mark.parametrize("counting", COUNTING)
@pytest.mark.parametrize("weighted", [False, True])
def test_step_weight(counting, weighted):
    given, lead = COUNTING[counting]
    w = rng.uniform(0.5, 2, (B, T))
    xs, leads = ([H, given, w], [2, lead, 2]) if weighted else ([H, given], [2, lead])
    y = StepWeight().value(xs, leads)
    for b in range(B):
        for t in range(T):
            assert y[b, t] == ((w[b, t] if weighted else 1.0) if counts(given, b, t) else 0.0)
    assert_local(StepWeight(), xs, leads)
    assert (
        StepWeight().value([x.astype(np.float32) if x.dtype.kind == "f" else x for x in xs], leads).dtype == np.float32
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("counting", COUNTING)
def test_padding_is_never_looked_at(counting, bad):
    given, lead = COUNTING[counting]
    keep = kept(given, T)
    h, w = np.where(keep[..., None], H, bad), np.where(keep, 1.0, bad)
    for op, dirty, clean in (
        (MeanOverTime(), [h, given], [H, given]),
        (KeepSteps(), [h, given], [H, given]),
        (StepWeight(), [h, given, w], [H, given, np.ones((B, T))]),
    ):
        leads = [2, lead, 2][: len(dirty)]
        y = op.value(dirty, leads)
        np.testing.assert_array_equal(y, op.value(clean, leads))
        for slot in (0, 2)[: 1 if len(dirty) == 2 else 2]:
            if op.differentiable(slot, dirty):
                pulled = op.local(slot, dirty, y, leads).pull(np.ones_like(y))
                assert pulled.shape == dirty[slot].shape
                np.testing.assert_array_equal(pulled[~keep], 0.0)
                assert (pulled[keep] != 0).all()


@pytest.mark.parametrize("library", ["torch", "jax"])
@pytest.mark.parametrize("counting", COUNTING)
def test_sequences_of_other_libraries(library, counting):
    given, lead = COUNTING[counting]
    w, g = rng.uniform(size=(B, T)), rng.normal(size=(B, T, N))
    with jax.enable_x64(True):
        convert = torch.tensor if library == "torch" else jax.numpy.asarray
        for op, arrays, leads in (
            (AtStep(1), [H], [2]),
            (MeanOverTime(), [H], [2]),
            (MeanOverTime(), [H, given], [2, lead]),
            (KeepSteps(), [H, given], [2, lead]),
            (StepWeight(), [H, given, w], [2, lead, 2]),
        ):
            reference = op.value(arrays, leads)
            xs = [convert(x) for x in arrays]
            y = op.value(xs, leads)
            assert type(y) is type(xs[0])
            assert_close(to_numpy(y), reference)
            slot = 2 if isinstance(op, StepWeight) else 0
            seed = g.reshape(-1)[: reference.size].reshape(reference.shape)
            expected = op.local(slot, arrays, reference, leads).pull(seed)
            assert_close(to_numpy(op.local(slot, xs, y, leads).pull(convert(seed))), expected)


def test_everything_is_made_on_the_device_of_the_data():
    """Torch's device without numbers refuses arrays from elsewhere, as an accelerator does."""

    def on_meta(x):
        return torch.empty(x.shape, dtype=torch.from_numpy(x).dtype, device="meta")

    h, w, lengths, mask = (on_meta(x) for x in (H, H[..., 0].copy(), LENGTHS, MASK))
    tokens, E = on_meta(np.zeros((B, T), int)), on_meta(np.ones((4, N)))
    for op, xs, leads, slot in (
        (Embedding(), [tokens, E], [2, 0], 1),
        (AtStep(), [h], [2], 0),
        (MeanOverTime(), [h, lengths], [2, 1], 0),
        (KeepSteps(), [h, mask], [2, 2], 0),
        (StepWeight(), [h, lengths, w], [2, 1, 2], 2),
    ):
        y = op.value(xs, leads)
        assert y.device.type == "meta"
        assert op.local(slot, xs, y, leads).pull(y, total=slot == 1).device.type == "meta"


def test_values_that_are_only_traced_are_not_looked_at():
    def problems(tokens, lengths, w):
        assert Embedding().data_problems(0, tokens, [(), (2, 2)]) == []
        assert StepWeight().data_problems(2, w, [(2,), (), ()]) == []
        assert counting_problems(lengths, 2) == []
        return w

    jax.jit(problems)(np.array([7]), LENGTHS + 9, -H)


# ----------------------------------------------------------------------------- problems, formulas, flags


@pytest.mark.parametrize(
    ("counting", "messages"),
    [
        (LENGTHS, []),
        (LENGTHS.astype(np.uint8), []),
        (MASK, []),
        (np.array([5, 0]), ["lengths must be from 1 to 5, the number of steps, got 0 at index 1"]),
        (np.array([6, 5]), ["lengths must be from 1 to 5, the number of steps, got 6 at index 0"]),
        (np.array([5.0]), ["lengths must be whole numbers, got dtype float64: lengths.astype(int)"]),
        (np.array([True]), ["lengths must be whole numbers, got dtype bool: lengths.astype(int)"]),
        (MASK * 1, ["a mask must be boolean, True where a step counts; got dtype int64: mask.astype(bool)"]),
        (MASK & ~MASK[1], ["sequence 1 has no step that counts: at least one is needed"]),
    ],
)
def test_lengths_and_masks(counting, messages):
    assert counting_problems(counting, T) == messages


def test_which_steps_count():
    np.testing.assert_array_equal(kept(LENGTHS, T), [[t < n for t in range(T)] for n in LENGTHS])
    np.testing.assert_array_equal(kept(MASK, T), MASK)


@pytest.mark.parametrize("op", [MeanOverTime(), KeepSteps(), StepWeight()], ids=lambda op: op.name)
def test_lengths_are_one_number_for_each_sequence(op):
    for shapes, leads in (([(N,), (1,)], [2, 1]), ([(N,), ()], [2, 0])):
        with pytest.raises(ShapeProblem) as error:
            op.shape(shapes, leads)
        assert str(error.value).startswith(f"{op.name}: expected lengths (batch,) or a mask (batch, time), got")


def test_weights_are_one_number_for_each_step():
    with pytest.raises(ShapeProblem, match=r"^step_weight: one weight per step expected, got feature shape \(1,\)$"):
        StepWeight().shape([(N,), (), (1,)], [2, 1, 2])
    assert StepWeight().data_problems(2, np.array([[1.0, -1.0]]), [(N,), (), ()]) == [
        "weights of the steps must be non-negative"
    ]
    assert StepWeight().data_problems(2, np.array([[1.0, 0.0]]), [(N,), (), ()]) == []


def test_only_sequences_are_read_over_time():
    for op in (AtStep(), MeanOverTime()):
        with pytest.raises(InputError, match=rf"^{op.name} reads a sequence, a quantity of each sample and step$"):
            op.lead([1])
    for op, leads in ((KeepSteps(), [1, 1]), (StepWeight(), [2, 1, 1])):
        with pytest.raises(InputError, match=rf"^{op.name} takes quantities of each sample and step, and lengths or"):
            op.lead(leads)
    assert [op.lead([2, 1]) for op in (MeanOverTime(), KeepSteps(), StepWeight())] == [1, 2, 2]


def test_formulas_and_flags():
    assert (Embedding().formula("x", "E"), Embedding().local_formula(1, "x", "E")) == ("E[x]", "I, in row x")
    assert (AtStep(3).formula("h"), AtStep(3).local_formula(0, "h")) == ("h[t=3]", "I at t=3, else 0")
    assert (MeanOverTime().formula("h", "n"), MeanOverTime().local_formula(0, "h", "n")) == ("mean_t(h, n)", "1/T")
    assert KeepSteps().formula("x", "n") == "x where t counts, else 0"
    assert (StepWeight().formula("z", "n"), StepWeight().formula("z", "n", "w")) == (
        "1 where t counts, else 0",
        "w where t counts, else 0",
    )
    assert KeepSteps().local_formula(0, "x", "n") == StepWeight().local_formula(2, "z", "n", "w")
    assert dict(AtStep(2).attributes) == {"step": 2}
    assert AtStep(2) != AtStep(3)
    assert [o.keeps_finite for o in (Embedding(), AtStep(), MeanOverTime(), KeepSteps())] == [True, True, False, False]
    assert [o.shows_nonfinite for o in (Embedding(), AtStep(), MeanOverTime(), KeepSteps())] == [
        *(False, False),
        *(True, True),
    ]


# -------------------------------------------------- every other operation with samples and steps in front


@pytest.mark.parametrize(
    ("op", "xs", "leads"),
    [
        (Affine(), [H, rng.normal(size=(3, N)), rng.normal(size=3)], [2, 0, 0]),
        *[(op(), [H, H[::-1] + 3.0], [2, 2]) for op in (Add, Subtract, Multiply, Divide)],
        *[(op(), [H, H[0, 0] + 3.0], [2, 0]) for op in (Add, Subtract, Multiply, Divide)],
        *[(op(), [H[..., 0].copy(), H], [2, 2]) for op in (Add, Multiply)],
        (Multiply(), [H[0, 0], H[..., 0].copy()], [0, 2]),
        (Elementwise("tanh"), [H], [2]),
        (Elementwise("identity"), [H], [2]),
        (Select((1, 0, 1)), [H], [2]),
        (Select((1,), scalar=True), [H], [2]),
        (Concatenate(), [H, H[..., 0].copy(), H[0, 0]], [2, 2, 0]),
        (Flatten(), [H.reshape(B, T, N, 1)], [2]),
        (Transpose(), [H.reshape(B, T, N, 1)], [2]),
        (Sum(), [H], [2]),
        (Dot(), [H, H[::-1].copy()], [2, 2]),
        (Dot(), [H, H[0, 0]], [2, 0]),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_two_leading_axes(op, xs, leads):
    assert_local(op, xs, leads)
    y = np.asarray(op.value(xs, leads))
    for b in range(B):
        for t in range(T):
            one = [x[b, t] if lead else x for x, lead in zip(xs, leads, strict=True)]
            assert_close(y[b, t], np.asarray(op.value(one, [0] * len(xs))))


# ------------------------------------------------------------------------------------------ in a graph


def network(read):
    """tokens -> embedding -> tanh of an affine map -> ``read`` -> loss, at each step or of each sequence."""
    builder = Builder()
    x, y = builder.given("x", "data", lead=2), builder.given("y", "data", lead=2 if read == "each" else 1)
    counting = builder.given("lengths", "data")
    E, W, V = (builder.given(name, "parameter") for name in "EWV")
    tokens = ops.keep_steps(x, counting).named("tokens")
    h = ops.tanh(ops.affine(ops.embedding(tokens, E), W)).named("h")
    m = {"mean": lambda: ops.mean_over_time(h, counting), "step": lambda: ops.at_step(h, 0), "each": lambda: h}[read]()
    z = ops.affine(m, V).named("z")
    if read == "each":
        target = ops.keep_steps(y, counting).named("target")
        loss = ops.squared_error(z, target, ops.step_weight(z, counting).named("weight"))
    else:
        loss = ops.squared_error(z, y)
    return builder.graph(loss.named("loss"))


@pytest.mark.parametrize("read", ["mean", "step", "each"])
def test_gradients_through_sequences(read):
    params = {"E": rng.normal(size=(4, 3)), "W": rng.normal(size=(2, 3)), "V": rng.normal(size=(1, 2))}
    x = rng.integers(0, 4, (B, T))
    y = rng.normal(size=(B, T, 1) if read == "each" else (B, 1))
    keep = np.arange(T) < LENGTHS[:, None]

    def loss(p):
        total, weight = 0.0, 0.0
        for b in range(B):
            h = [np.tanh(p["W"] @ p["E"][x[b, t]]) for t in range(T) if keep[b, t]]
            read_out = {"mean": [sum(h) / len(h)], "step": [h[0]], "each": h}[read]
            targets = y[b, : len(h)] if read == "each" else [y[b]]
            for m, target in zip(read_out, targets, strict=True):
                total, weight = total + ((p["V"] @ m - target) ** 2).sum(), weight + 1
        return total / weight

    dirty_x, dirty_y = np.where(keep, x, -1), np.where(keep[..., None], y, np.nan) if read == "each" else y
    g = gradients(network(read), params, dirty_x, dirty_y, LENGTHS)
    assert_close(np.asarray(g.loss), np.asarray(loss(params)))
    for name, value in params.items():
        expected = np.zeros(value.shape)
        for place in np.ndindex(value.shape):
            moved = {**params, name: value.astype(complex)}
            moved[name][place] += 1e-30j
            expected[place] = loss(moved).imag / 1e-30
        assert_close(g[name], expected, name=name)
    np.testing.assert_array_equal(g["h"][~keep], 0.0)


def test_labels_in_the_padding_may_be_anything_but_those_that_count_are_checked():
    builder = Builder()
    z, y = (builder.given(name, "data", lead=2) for name in "zy")
    mask = builder.given("mask", "data", lead=2)
    kept_y = ops.keep_steps(y, mask).named("kept_y")
    loss = ops.softmax_cross_entropy(z, kept_y, ops.step_weight(z, mask).named("weight"))
    graph = builder.graph(loss.named("loss"))
    labels = np.where(MASK, 1, -100)
    g = gradients(graph, {}, H, labels, MASK)
    np.testing.assert_array_equal(g["z"][~MASK], 0.0)
    expected = [math.log1p(math.exp(H[b, t, 0] - H[b, t, 1])) for b in range(B) for t in range(T) if MASK[b, t]]
    assert_close(np.asarray(g.loss), np.asarray(math.fsum(expected) / len(expected)))
    labels[2, 3] = 2
    with pytest.raises(
        InputError, match=r"'y': class labels must be in \[0, 2\) for 2 outputs, got 2 at index \(2, 3\)"
    ):
        gradients(graph, {}, H, labels, MASK)
    with pytest.raises(InputError, match=r"'mask': a mask must be boolean"):
        gradients(graph, {}, H, labels, MASK * 1)


def test_the_jacobian_of_a_mean_by_its_steps():
    params = {"E": rng.normal(size=(4, 3)), "W": rng.normal(size=(2, 3)), "V": rng.normal(size=(1, 2))}
    x = rng.integers(0, 4, (B, T))
    J = jacobian(network("mean"), params, x=x, lengths=LENGTHS, of="z", wrt="h").dense()
    assert J.shape == (B, 1, T, 2)
    for b in range(B):
        for t in range(T):
            assert_close(J[b, 0, t], params["V"][0] / LENGTHS[b] * (t < LENGTHS[b]))


def test_a_loss_of_each_step_takes_weights_of_each_step():
    builder = Builder()
    z, y, w = (builder.given(name, "data", lead=2) for name in "zyw")
    graph = builder.graph(builder.apply(SquaredError(), z, y, w, name="loss"))
    y, w = rng.normal(size=H.shape), rng.uniform(size=(B, T))
    g = gradients(graph, {}, H, y, w)
    assert_close(g["z"], 2 * (H - y) * w[..., None] / w.sum())


def test_a_mean_with_weights_that_are_zero_wherever_a_step_counts_is_refused():
    z, lengths = np.ones((2, 3, 4)), np.array([1, 2])
    weight = np.array([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    counted = StepWeight().value([z, lengths, weight], (2, 1, 2))
    np.testing.assert_array_equal(counted, np.zeros((2, 3)))
    with pytest.raises(InputError, match="the weights of all that counts are zero"):
        SquaredError().value([z, 0 * z, counted], (2, 2, 2))
    assert SquaredError("sum").value([z, 0 * z, counted], (2, 2, 2)) == 0.0
    weight[1, 1] = 2.0
    np.testing.assert_array_equal(StepWeight().value([z, lengths, weight], (2, 1, 2)), [[0, 0, 0], [0, 2, 0]])
