"""A batch in chunks equals the whole batch; the bits depend on nothing but the chunks; little memory is held."""

import threading
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import everygrad as eg
from everygrad.batches import whole
from everygrad.checks.tolerance import SINGLE, assert_close
from everygrad.errors import UnknownNameError
from everygrad.graph.losses import BinaryCrossEntropy, Loss, Reduce, SoftmaxCrossEntropy, SquaredError
from tests.networks.recurrent_cases import Case, cases, made
from tests.networks.recurrent_library import data, network

MAKE = {"numpy": np.asarray, "torch": torch.from_numpy, "jax": jnp.asarray}


def cut(arrays, sizes):
    """Chunks of these sizes, one after the other."""
    ends = np.cumsum(sizes)
    return [tuple(a[end - size : end] for a in arrays) for size, end in zip(sizes, ends, strict=True)]


def assert_as_one(net, params, arrays, chunks, tol=None, **options):
    """The same loss and the same gradient of every parameter as in one batch."""
    reference = eg.gradients(net, params, *arrays)
    g = eg.gradients_of_chunks(net, params, chunks, **options)
    assert set(g) == set(params)
    loss = np.asarray(reference.loss)
    assert_close(g.loss, loss.sum(), tol, "loss")  # a loss that is a number per sample: its sum is differentiated
    for name in params:
        assert g[name].dtype == params[name].dtype
        assert g[name].shape == params[name].shape
        assert_close(g[name], reference[name], tol, name)
    return g


def feed_forward(loss="softmax_cross_entropy", weighted=False, samples=23, dtype=np.float64):
    rng = np.random.default_rng(1)
    net = eg.FeedForward([5, 7, 3], loss=loss, weighted=weighted)
    params = {name: rng.normal(size=shape).astype(dtype) for name, shape in net.shapes.items()}
    x = rng.normal(size=(samples, 5)).astype(dtype)
    labels = isinstance(net.loss, SoftmaxCrossEntropy)
    y = rng.integers(0, 3, samples) if labels else rng.uniform(size=(samples, 3)).astype(dtype)
    weight = [rng.uniform(0.1, 5.0, samples).astype(dtype)] if weighted else []
    return net, params, [x, y, *weight]


# -------------------------------------------------------------------------------------------------- reductions


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("kind", [SoftmaxCrossEntropy, BinaryCrossEntropy, SquaredError])
def test_every_reduction(kind, reduction, weighted):
    net, params, arrays = feed_forward(kind(reduction), weighted)
    for sizes in ([23], [1, 22], [9, 1, 2, 11], [1] * 23):
        g = assert_as_one(net, params, arrays, cut(arrays, sizes))
        assert (g.samples, g.chunks) == (23, len(sizes))
        expected = 1 if reduction != "mean" else arrays[2].sum() if weighted else 23
        assert_close(np.asarray(g.divided_by, float), np.asarray(expected, float))


@pytest.mark.parametrize("model", ["feed-forward", "over time"])
def test_against_the_complex_step_of_the_whole_batch(model):
    if model == "feed-forward":
        net, params, arrays = feed_forward(weighted=True)
    else:
        numbers = made(Case("lstm", read="each", lengths=True, weighted=True, B=7))
        net, params, arrays = network(numbers.case), dict(numbers.params), data(numbers)
    g = eg.gradients_of_chunks(net, params, eg.chunks(*arrays, size=3), workers=2)
    found = eg.check(net, params, *arrays, gradients=g)
    assert found.ok
    assert {row.name for row in found.rows} == set(params)
    last = list(g)[-1]
    assert not eg.check(net, params, *arrays, gradients={**g, last: g[last] * (1 + 1e-9)}).ok


def test_a_mean_is_not_a_mean_of_means():
    """With chunks of unequal sizes the two differ: what the tests above compare would show it."""
    net, params, arrays = feed_forward()
    chunks = cut(arrays, [20, 3])
    of_means = sum(eg.gradients(net, params, *chunk)["W1"] for chunk in chunks) / 2
    assert np.linalg.norm(of_means - eg.gradients(net, params, *arrays)["W1"]) > 1e-3


def test_a_chunk_whose_weights_are_all_zero_counts_nothing():
    net, params, arrays = feed_forward(weighted=True)
    arrays[2][4:9] = 0.0
    assert_as_one(net, params, arrays, cut(arrays, [4, 5, 14]))


def test_weights_of_steps_that_are_all_zero_in_a_chunk():
    numbers = made(Case("gru", read="each", lengths=True, weighted=True, B=6))
    arrays = data(numbers)
    arrays[3][2:4] = 0.0
    assert_as_one(network(numbers.case), dict(numbers.params), arrays, cut(arrays, [2, 2, 2]))


@settings(max_examples=40)
@given(cases(longest=12, batch=9), st.integers(0, 10**9))
def test_drawn_recurrent_networks(case, seed):
    """Ragged sequences, masks, weights per step, initial states, tokens: cut anywhere."""
    numbers = made(case)
    arrays = data(numbers)
    rng = np.random.default_rng(seed)
    at = np.flatnonzero(rng.uniform(size=case.B - 1) < 0.5) + 1
    sizes = np.diff([0, *at, case.B])
    assert_as_one(network(case), dict(numbers.params), arrays, cut(arrays, sizes), 1e-13)


def test_chunks_padded_to_their_own_longest_sequence():
    numbers = made(Case("lstm", read="each", lengths=True, B=6, T=8))
    x, y, lengths = data(numbers)
    order = np.argsort(lengths)
    x, y, lengths = x[order], y[order], lengths[order]
    chunks = [(x[s, : lengths[s].max()], y[s, : lengths[s].max()], lengths[s]) for s in (slice(0, 2), slice(2, 6))]
    assert chunks[0][0].shape[1] < chunks[1][0].shape[1]
    assert_as_one(network(numbers.case), dict(numbers.params), [x, y, lengths], chunks)


def test_a_graph_of_ones_own():
    def per_sample(x, w, *, W, u):
        h = eg.ops.tanh(W @ x)
        return eg.ops.apply(Reduce("mean"), eg.ops.dot(h, h) + eg.ops.sum(u * x), w)

    def number_of_each(x, *, W):
        return eg.ops.sum(eg.ops.tanh(W @ x))

    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(7, 4)), rng.uniform(size=7)
    params = {"W": rng.normal(size=(3, 4)), "u": rng.normal(size=4)}
    assert_as_one(eg.graph(per_sample), params, [x, w], cut([x, w], [3, 4]))
    assert_as_one(eg.graph(number_of_each), {"W": params["W"]}, [x], cut([x], [3, 4]))


def test_a_parameter_that_the_loss_does_not_depend_on():
    def f(x, *, W, V):
        unused = V @ x
        del unused
        return eg.ops.squared_error(W @ x, x)

    graph = eg.graph(f)
    params = {"W": np.eye(2)} | ({"V": np.eye(2)} if "V" in graph.parameters else {})
    x = np.ones((3, 2))
    g = eg.gradients_of_chunks(graph, params, cut([x], [1, 2]))
    assert set(g) == {name for name in eg.gradients(graph, params, x) if name in params}


# ------------------------------------------------------------------------------------------ what is no sum


def sum_of_two(x, y, *, W, V):
    return eg.ops.squared_error(W @ x, y) + eg.ops.squared_error(V @ x, y)


def root(x, y, *, W):
    return eg.ops.sqrt(eg.ops.squared_error(W @ x, y))


def normalised(x, y, *, W):
    m = eg.ops.apply(Reduce("mean"), eg.ops.sum(x))
    return eg.ops.squared_error(W @ (x - m), y)


def learned(x, y, *, W, v):
    return eg.ops.squared_error(W @ x, y, eg.ops.exp(eg.ops.dot(v, x)))


def learned_sum(x, y, *, W, v):
    return eg.ops.squared_error(W @ x, y, eg.ops.exp(eg.ops.dot(v, x)), reduction="sum")


def of_parameters(x, *, W):
    del x
    return eg.ops.sum(W)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (sum_of_two, "joins all samples and .* is made of it: that is no sum over samples"),
        (root, "joins all samples and .* is made of it: that is no sum over samples"),
        (normalised, "'m' joins all samples"),
        (learned, r"depend on the parameters \['v'\]: a mean .* Use reduction='sum'"),
        (of_parameters, "is no sum or mean over samples"),
    ],
)
def test_what_is_no_sum_over_samples_is_refused(f, message):
    x = np.ones((4, 2))
    graph = eg.graph(f)
    params = {name: np.ones(2) if name == "v" else np.eye(2) for name in graph.parameters}
    with pytest.raises(eg.errors.InputError, match=message):
        eg.gradients_of_chunks(graph, params, [tuple(x for _ in graph.data)])


def test_learned_weights_of_a_sum():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 5, 2))
    params = {"W": rng.normal(size=(2, 2)), "v": rng.normal(size=2)}
    assert_as_one(eg.graph(learned_sum), params, [x, y], cut([x, y], [2, 3]))


# -------------------------------------------------------------------------------------------- bits and threads


def recurrent():
    numbers = made(Case("lstm", T=5, B=23))
    return network(numbers.case), numbers.params, data(numbers)


def with_float32():
    """Numbers whose sums depend on their order."""
    net, params, (x, y) = feed_forward(samples=61, dtype=np.float32)
    return (
        net,
        params,
        eg.chunks(x * np.float32(10.0) ** (np.arange(61) % 5 - 2)[:, None].astype(np.float32), y, size=3),
    )


def bits(g):
    return {"loss": np.asarray(g.loss).tobytes(), **{name: array.tobytes() for name, array in g.items()}}


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_the_same_bits_for_any_number_of_workers(workers):
    net, params, chunks = with_float32()
    reference = bits(eg.gradients_of_chunks(net, params, chunks))
    for _ in range(3):
        assert bits(eg.gradients_of_chunks(net, params, chunks, workers=workers)) == reference


@pytest.mark.parametrize("make", [feed_forward, recurrent])
def test_the_compiled_engine(make, monkeypatch):
    """The same within rounding; and for itself the same bits, whatever the number of workers."""
    monkeypatch.setattr("everygrad.engines.compiled.rows.WORTH_COMPILING", 0)
    net, params, arrays = make()
    chunks = cut(arrays, [7, 5, 7, 4])
    expected = eg.gradients_of_chunks(net, params, chunks)
    first = eg.gradients_of_chunks(net, params, chunks, engine="compiled")
    for name in expected:
        assert_close(first[name], expected[name], name=name)
    for workers in (1, 2, 3):
        assert bits(eg.gradients_of_chunks(net, params, chunks, engine="compiled", workers=workers)) == bits(first)
    with pytest.raises(UnknownNameError, match="Known: compiled, numpy"):
        eg.gradients_of_chunks(net, params, chunks, engine="fast")


@pytest.mark.parametrize("workers", [2, 3])
def test_the_same_bits_when_chunks_are_ready_out_of_order(workers, monkeypatch):
    net, params, chunks = with_float32()
    reference = bits(eg.gradients_of_chunks(net, params, chunks))
    first, second, finished = next(iter(chunks))[0], threading.Event(), []
    compute = whole.gradients

    def slow_at_first(network, params, x, *data, **options):
        is_first = np.shares_memory(x, first)
        if is_first:
            assert second.wait(20)
        g = compute(network, params, x, *data, **options)
        finished.append(is_first)
        second.set()
        return g

    monkeypatch.setattr(whole, "gradients", slow_at_first)
    assert bits(eg.gradients_of_chunks(net, params, chunks, workers=workers)) == reference
    assert finished.index(True) > 0


def test_the_bits_are_those_of_a_tree_over_the_chunks():
    """Sums of neighbours, by their definition, from one pass for each chunk of the network whose loss is a sum."""
    net, params, chunks = with_float32()
    summing = eg.FeedForward(net.sizes, loss=SoftmaxCrossEntropy("sum"))
    parts = [eg.gradients(summing, params, *chunk)["W1"] for chunk in chunks]

    def tree(parts):
        if len(parts) == 1:
            return parts[0]
        left = 1 << (len(parts) - 1).bit_length() - 1
        return tree(parts[:left]) + tree(parts[left:])

    g = eg.gradients_of_chunks(net, params, chunks)
    assert g["W1"].tobytes() == (tree(parts) / 61).tobytes()
    assert g["W1"].tobytes() != (sum(parts[1:], parts[0]) / 61).tobytes()


# ------------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("workers", [1, 2])
def test_memory_does_not_grow_with_the_number_of_chunks(workers):
    net = eg.FeedForward([400, 60, 3])
    params = net.init(0)
    size = 500  # 1.6 MB of data, and as much again of gradients

    def made_one_by_one(count):
        for i in range(count):
            rng = np.random.default_rng(i)
            yield rng.normal(size=(size, 400)), rng.integers(0, 3, size)

    def peak(count, workers):
        tracemalloc.start()
        try:
            g = eg.gradients_of_chunks(net, params, made_one_by_one(count), workers=workers)
            assert g.samples == count * size
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(4, workers)
    many = peak(64, workers)
    held = 1 if workers == 1 else workers + 1  # chunks at a time, however many there are
    chunk = 8 * size * (2 * 400 + 6 * 60)  # x and its gradient; a, h, their gradients and slopes
    tree = 7 * sum(p.nbytes for p in params.values())  # log2(64) sums and the one at hand
    assert many < held * chunk + tree
    assert many < 64 * size * 400 * 8 / 6  # of all chunks


# ----------------------------------------------------------------------------------------------- other libraries


@pytest.mark.parametrize("library", MAKE)
@pytest.mark.parametrize("workers", [1, 2])
def test_every_library(library, workers):
    net, params, arrays = feed_forward(weighted=True)
    reference = eg.gradients_of_chunks(net, params, cut(arrays, [9, 1, 13]))
    with jax.enable_x64(True):
        moved = {name: MAKE[library](p) for name, p in params.items()}
        chunks = cut([MAKE[library](a) for a in arrays], [9, 1, 13])
        g = eg.gradients_of_chunks(net, moved, chunks, workers=workers)
        for name, array in g.items():
            assert type(array) is type(moved[name])
            assert array.dtype == moved[name].dtype
            assert_close(array, reference[name], 1e-12, name)
        assert_close(g.loss, reference.loss, 1e-12)


def test_torch_records_nothing():
    net, params, arrays = feed_forward()
    moved = {name: torch.from_numpy(p).requires_grad_() for name, p in params.items()}
    g = eg.gradients_of_chunks(net, moved, cut([torch.from_numpy(a) for a in arrays], [20, 3]), workers=2)
    assert not any(array.requires_grad for array in (g.loss, *g.values()))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_modes_of_torch_which_are_those_of_a_thread(mode):
    net = eg.Recurrent(eg.GRU(3, 4), outputs=2, read="each", lengths=True)
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(7, 5, 3)), rng.integers(0, 2, (7, 5)), rng.integers(1, 6, 7)]
    params = net.init(0)
    reference = eg.gradients(net, params, *arrays)
    with mode():
        moved = {name: torch.from_numpy(p) for name, p in params.items()}
        g = eg.gradients_of_chunks(net, moved, cut([torch.from_numpy(a) for a in arrays], [3, 4]), workers=2)
    for name in params:
        assert_close(g[name], reference[name], 1e-12, name)


@pytest.mark.parametrize("library", MAKE)
def test_float32_stays_float32(library):
    net, params, arrays = feed_forward(weighted=True)
    reference = eg.gradients(net, params, *arrays)
    narrow = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in arrays]
    moved = {name: MAKE[library](p.astype(np.float32)) for name, p in params.items()}
    g = eg.gradients_of_chunks(net, moved, cut(list(map(MAKE[library], narrow)), [9, 1, 13]))
    assert str(g.loss.dtype).endswith("float32")
    for name, array in g.items():
        assert str(array.dtype).endswith("float32")
        assert_close(array, reference[name], SINGLE, name)


def test_under_somebodys_own_jit():
    net, params, arrays = feed_forward()
    with jax.enable_x64(True):
        moved = {name: jnp.asarray(p) for name, p in params.items()}
        chunks = cut(list(map(jnp.asarray, arrays)), [20, 3])
        compiled = jax.jit(lambda p, c: dict(eg.gradients_of_chunks(net, p, c)))(moved, chunks)
        for name, reference in eg.gradients(net, params, *arrays).items():
            if name in params:
                assert_close(compiled[name], reference, 1e-12, name)


# ---------------------------------------------------------------------------------------------------- the record


def test_the_record():
    net, params, arrays = feed_forward()
    g = eg.gradients_of_chunks(net, params, eg.chunks(*arrays, size=10))
    whole_batch = eg.gradients(net, params, *arrays)
    assert list(g) == ["W1", "b1", "W2", "b2"]
    assert len(g) == 4
    norm = f"{np.linalg.norm(whole_batch['W1']):.4g}"
    lines = str(g).splitlines()
    assert lines[0] == f"loss = {float(whole_batch.loss):.6g} over 23 samples in 3 chunks"
    assert lines[1].split() == ["parameter", "shape", "norm", "of", "gradient"]
    assert lines[3].split() == ["W1", "7", "x", "5", norm]
    assert repr(g) == f"ChunkedGradients({lines[0]}; W1, b1, W2, b2)"
    assert f"<td>W1</td><td>7 x 5</td><td>{norm}</td>" in g._repr_html_()
    with pytest.raises(eg.errors.UnknownNameError, match=r"'h1' was not summed: .* W1, b1, W2, b2\. .* keep=\('h1',\)"):
        g["h1"]
    with pytest.raises(eg.errors.UnknownNameError, match="Did you mean 'W1'"):
        g["w1"]
    with pytest.raises(eg.errors.InputError, match="nothing was kept"):
        next(g.kept())


def test_every_gradient_of_each_chunk_is_handed_over():
    net, params, arrays = feed_forward(weighted=True)
    seen = []
    g = eg.gradients_of_chunks(
        net, params, cut(arrays, [20, 3]), workers=2, each=lambda i, chunk: seen.append((i, chunk))
    )
    reference = eg.gradients(net, params, *arrays)
    assert [i for i, _ in seen] == [0, 1]
    for name in ("h0", "a1", "h1", "a2"):
        rows = np.concatenate([chunk[name] for _, chunk in seen]) / g.divided_by
        assert_close(rows, reference[name], name=name)


@pytest.mark.parametrize("workers", [1, 3])
def test_progress(workers):
    net, params, arrays = feed_forward()
    told = []
    chunks = cut(arrays, [10, 10, 3])
    options = {"workers": workers, "progress": lambda done, total: told.append((done, total))}
    eg.gradients_of_chunks(net, params, chunks, **options)
    eg.gradients_of_chunks(net, params, iter(chunks), **options)
    assert told == [(1, 3), (2, 3), (3, 3), (1, None), (2, None), (3, None)]


def test_a_bar_only_on_a_terminal(capsys):
    net, params, arrays = feed_forward()
    eg.gradients_of_chunks(net, params, cut(arrays, [20, 3]), progress=True)
    assert capsys.readouterr() == ("", "")


# ---------------------------------------------------------------------------------------------------- bad input


def refused(chunks, error=eg.errors.InputError, net=None, **options):
    made_net, params, _ = feed_forward()
    with pytest.raises(error) as caught:
        eg.gradients_of_chunks(net or made_net, params, chunks, **options)
    return str(caught.value)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda x, y: (x[:0], y[:0]), "'h0' is an empty batch, shape (0, 5): at least one sample is needed"),
        (lambda x, y: (x[:, 1:], y), "W has shape (7, 5), so h must have 5 features, has 4"),
        (lambda x, y: (x, y[1:]), "data of different numbers of samples: 'h0' has 5, 'y' has 4"),
        (lambda x, y: (x,), "data 'y' is missing"),
        (lambda x, y: (x, y, y), "3 data arrays were given, the graph takes 2: ['h0', 'y']"),
        (lambda x, y: (x.tolist(), y), "'h0' is a list, expected an array"),
        (lambda x, y: (x.astype(np.float32), y), "'h0' has dtype float32, 'W1' has float64"),
        (lambda x, y: {"x": x, "labels": y}, "unknown data 'labels'"),
        (lambda x, y: (x, y + 3), "class labels must be in [0, 3)"),
        (lambda x, y: {"params": x, "y": y}, "data cannot be given under the name 'params'"),
        (lambda x, y: x, "it is a ndarray, expected the data of some samples: a tuple (x, y, ...) or a dict"),
        (lambda x, y: None, "it is a NoneType, expected the data of some samples"),
    ],
)
def test_a_bad_chunk_is_named(bad, message, workers):
    _, _, (x, y) = feed_forward()
    text = refused([(x, y), (x, y), bad(x[:5], y[:5]), (x, y)], workers=workers)
    assert text.startswith("chunk 2: ")
    assert message in text


@pytest.mark.parametrize("workers", [1, 2])
def test_any_other_error_says_where_it_was(workers, monkeypatch):
    net, params, (x, y) = feed_forward()
    compute = whole.gradients

    def no_room(network, params, x, *data, **options):
        if len(x) == 7:
            raise MemoryError("no room")
        return compute(network, params, x, *data, **options)

    monkeypatch.setattr(whole, "gradients", no_room)
    with pytest.raises(MemoryError, match="no room") as caught:
        eg.gradients_of_chunks(net, params, cut([x, y], [10, 6, 7]), workers=workers)
    assert caught.value.__notes__ == ["everygrad was at chunk 2"]


def test_a_number_that_is_not_finite_is_named():
    _, _, (x, y) = feed_forward()
    wrong = x.copy()
    wrong[3, 1] = np.nan
    text = refused([(x, y), (wrong, y)], eg.errors.NonFiniteError)
    assert text == "chunk 1: the array 'h0' is not finite: h0[3, 1] = nan"
    net, params, _ = feed_forward()
    g = eg.gradients_of_chunks(net, params, [(x, y), (wrong, y)], check_finite=False)
    assert np.isnan(g.loss)


def test_a_sum_that_overflows_is_named():
    def f(x, *, W):
        return eg.ops.sum(W @ x)

    x = np.full((1, 1), 1.5e308)
    with pytest.raises(eg.errors.NonFiniteError, match="every chunk is finite, but the sum over chunks of"):
        eg.gradients_of_chunks(eg.graph(f), {"W": np.ones((1, 1))}, [(x,), (x,)])


def test_no_chunk_at_all():
    assert refused(iter([])).startswith("there was no chunk: the iterable is empty")
    _, _, arrays = feed_forward()
    used = iter(cut(arrays, [20, 3]))
    list(used)
    assert refused(used).startswith("there was no chunk")


def test_weights_that_are_all_zero():
    net, _, (x, y, w) = feed_forward(weighted=True)
    text = refused(cut([x, y, 0 * w], [20, 3]), net=net)
    assert text == "the weights of all samples of all chunks are zero: the loss would be a mean of nothing"


@pytest.mark.parametrize("workers", [1, 2])
def test_what_the_iterator_raises_comes_through(workers):
    net, params, arrays = feed_forward()

    def broken():
        yield from cut(arrays, [10, 10])
        raise OSError("the disk is gone")

    seen = []
    with pytest.raises(OSError, match="the disk is gone") as caught:
        eg.gradients_of_chunks(net, params, broken(), workers=workers, each=lambda i, g: seen.append(i))
    assert caught.value.__notes__ == ["everygrad was reading chunk 2: 2 came before it"]
    assert seen == [0, 1]


@pytest.mark.parametrize(
    ("chunks", "options", "problem"),
    [
        (np.ones((3, 5)), {}, "chunks is a ndarray, expected an iterable of chunks (x, y): eg.chunks(x, y, size=1024)"),
        (5, {}, "chunks is a int, expected an iterable"),
        ({"x": 1}, {}, "chunks is a dict, expected an iterable"),
        ([], {"workers": 0}, "workers=0: expected a whole number of threads, at least 1"),
        ([], {"workers": True}, "workers=True: expected"),
        ([], {"progress": 3}, "progress=3: expected True, False or a function"),
        ([], {"keep": "h1", "folder": "x"}, "keep='h1': expected several names, keep=('h1',)"),
        ([], {"keep": ["h7"], "folder": "x"}, "keep: unknown quantity 'h7'. Did you mean 'h1'?"),
        ([], {"keep": ["W1"], "folder": "x"}, "keep: 'W1' is no quantity of each sample"),
        ([], {"keep": ["h1"]}, "keep= needs folder=, where the files are written"),
        ([], {"resume": True}, "resume=True needs folder=, in which the sums are"),
    ],
)
def test_bad_arguments(chunks, options, problem):
    assert f"\n  - {problem}" in refused(chunks, **options)


def test_every_problem_at_once():
    text = refused(5, workers=0, keep=["h7"])
    assert text.splitlines()[0] == "gradients_of_chunks: 4 problems"


def test_params_must_be_a_mapping():
    with pytest.raises(eg.errors.InputError, match="params must be a dict of arrays by name, got list"):
        eg.gradients_of_chunks(eg.FeedForward([2, 2]), [], [])


def test_an_iterator_given_to_gradients_is_told_where_it_belongs():
    net, params, arrays = feed_forward()
    with pytest.raises(eg.errors.InputError, match=r"'h0' is a generator, .* eg\.gradients_of_chunks takes such"):
        eg.gradients(net, params, (chunk for chunk in [tuple(arrays)]))


def test_the_users_network_is_not_changed():
    net, params, arrays = feed_forward()
    before = eg.gradients(net, params, *arrays)
    eg.gradients_of_chunks(net, params, cut(arrays, [20, 3]))
    operation = net.graph.by_name["loss"].operation
    assert isinstance(operation, Loss)
    assert operation.reduction.batch == "mean"
    after = eg.gradients(net, params, *arrays)
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])
