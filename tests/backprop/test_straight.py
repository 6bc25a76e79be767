"""A whole pass as straight-line code: the same bits as the pass over the graph, and a text that stands alone."""

import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everygrad.backprop import backward, forward, gradients, source
from everygrad.backprop.plan import plan
from everygrad.errors import InputError, NonFiniteError, UnsupportedError
from everygrad.graph import Operation, graph, ops
from everygrad.graph.elementwise import RULES
from everygrad.jacobians import Diagonal
from everygrad.networks import LSTM, Elman, FeedForward, Recurrent
from tests.networks.recurrent_cases import cases, made
from tests.networks.recurrent_library import data, network

LAYERED = [name for name, rule in RULES.items() if name not in ("log", "sqrt", "power", "exp")]


def code(network):
    """What is kept of the passes over a network: for each combination of shapes the code, "once", or None."""
    return list(plan(getattr(network, "graph", network)).codes.values())


def by_the_graph(net, params, *arrays):
    return backward(forward(net, params, *arrays))


def assert_same_bits(found, reference):
    assert list(found) == list(reference)
    assert list(found.trace) == list(reference.trace)
    for name in reference:
        np.testing.assert_array_equal(found[name], reference[name], err_msg=f"gradient of {name}", strict=True)
    for name in reference.trace:
        np.testing.assert_array_equal(found.trace[name], reference.trace[name], err_msg=name, strict=True)
    assert list(found.direct) == list(reference.direct)
    for name in reference.direct:
        np.testing.assert_array_equal(found.direct[name], reference.direct[name], err_msg=f"direct {name}", strict=True)


def feed_forward(sizes=(4, 5, 3), B=6, dtype=np.float64, seed=0, **options):
    rng = np.random.default_rng(seed)
    net = FeedForward(list(sizes), **options)
    params = {k: (v + 0.1 * rng.normal(size=v.shape)).astype(dtype) for k, v in net.init(seed, dtype).items()}
    x = rng.normal(size=(B, sizes[0])).astype(dtype)
    kind = net.graph.by_name[net.graph.output].operation.name
    if kind == "softmax_cross_entropy":
        return net, params, x, rng.integers(0, sizes[-1], B)
    target = rng.random((B, sizes[-1])) if kind == "binary_cross_entropy" else rng.normal(size=(B, sizes[-1]))
    return net, params, x, target.astype(dtype)


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=5),
    st.integers(1, 6),
    st.sampled_from(LAYERED),
    st.sampled_from(["softmax_cross_entropy", "binary_cross_entropy", "squared_error"]),
    st.sampled_from([np.float32, np.float64]),
)
def test_feed_forward_networks_have_the_same_bits(sizes, B, activation, loss, dtype):
    net, *arrays = feed_forward(sizes, B, dtype, activation=activation, loss=loss)
    reference = by_the_graph(net, *arrays)
    for _ in range(3):
        found = gradients(net, *arrays)
    assert code(net)[0].text
    assert_same_bits(found, reference)


def test_large_results_are_written_in_place_and_have_the_same_bits():
    net, *arrays = feed_forward((300, 280, 290, 7), 200, np.float32)
    reference = by_the_graph(net, *arrays)
    text = source(net, *arrays)
    assert "a1 = matmul(h0, W1.T, out=empty((200, 280), float32))\n    add(a1, b1, out=a1)\n" in text
    found = [gradients(net, *arrays) for _ in range(4)]
    for each in found:  # an earlier result is never written to by a later pass
        assert_same_bits(each, reference)


@settings(max_examples=30)
@given(cases(longest=12))
def test_recurrent_networks_have_the_same_bits(case):
    numbers = made(case)
    net = network(case)
    reference = by_the_graph(net, numbers.params, *data(numbers))
    for _ in range(3):
        found = gradients(net, numbers.params, *data(numbers))
    assert code(net)[-1] is not None
    assert_same_bits(found, reference)
    assert {label: run.stored for label, run in found.trace.runs.items()} == {
        label: run.stored for label, run in reference.trace.runs.items()
    }


def test_saturated_units_have_the_same_bits():
    net, params, x, y = feed_forward((3, 8, 2), 5)
    params["W1"] = 30 * params["W1"]
    for _ in range(3):
        found = gradients(net, params, x, y)
    assert_same_bits(found, by_the_graph(net, params, x, y))


def run_alone(text, arguments, tmp_path):
    """(values, gradients) of a text in a process of its own, that knows NumPy only."""
    (tmp_path / "pasted.py").write_text(text, "utf-8")
    np.savez(tmp_path / "arguments.npz", **arguments)
    (tmp_path / "main.py").write_text(
        "import sys\nsys.path.insert(0, '.')\nimport numpy as np\nfrom pasted import gradients\n"
        "values, found, *_ = gradients(**np.load('arguments.npz'))\n"
        "np.savez('values.npz', **values)\nnp.savez('gradients.npz', **found)\n"
        "assert not any(name.startswith('everygrad') for name in sys.modules)\n",
        "utf-8",
    )
    subprocess.run([sys.executable, "-I", "main.py"], cwd=tmp_path, check=True)
    return np.load(tmp_path / "values.npz"), np.load(tmp_path / "gradients.npz")


@pytest.mark.parametrize("make", ["feed-forward", "elman", "lstm"])
def test_the_text_stands_alone_and_gives_the_same_bits(make, tmp_path):
    if make == "feed-forward":
        net, params, x, y = feed_forward((300, 250, 4), 150, np.float32)
    else:
        rng = np.random.default_rng(0)
        net = Recurrent({"elman": Elman, "lstm": LSTM}[make](3, 4), outputs=2, layers=2, bidirectional=True)
        params, x, y = net.init(0), rng.normal(size=(5, 9, 3)), rng.integers(0, 2, 5)
    text = net.source(x, y, params=params)
    arguments = re.findall(r"\w+", text.split("def gradients(")[1].split(")")[0])
    given = {**params, net.graph.data[0]: x, net.graph.data[1]: y}
    values, found = run_alone(text, {name: given[name] for name in arguments}, tmp_path)
    g = gradients(net, params, x, y)
    assert set(found) == set(g)
    for name in g:
        np.testing.assert_array_equal(found[name], g[name], err_msg=name, strict=True)
    for name in values:
        np.testing.assert_array_equal(values[name], g.trace[name], err_msg=name, strict=True)


def test_the_text_is_that_of_the_lecture_and_is_what_runs():
    net, params, x, y = feed_forward((4, 3, 2), 5)
    text = net.source(x, y, params=params)
    for line in (
        "a1 = h0 @ W1.T + b1", "h1 = tanh(a1)", "grad_h1 = grad_a2 @ W2", "grad_W2 = grad_a2.T @ h1",
        "grad_a1 = grad_h1 * with_small_slopes(1.0 - h1 * h1, a1, 2.0)", "grad_b1 = add.reduce(grad_a1, axis=(0,))",
    ):  # fmt: skip
        assert f"    {line}\n" in text
    for _ in range(2):
        gradients(net, params, x, y)
    assert code(net)[0].text == text
    assert max(map(len, text.splitlines())) <= 120


def test_it_is_run_from_the_second_pass_of_these_shapes_on():
    net, params, x, y = feed_forward()
    gradients(net, params, x, y)
    assert code(net) == ["once"]
    gradients(net, params, x, y)
    assert "def gradients(" in code(net)[0].text
    gradients(net, params, x[:2], y[:2])
    assert code(net)[1] == "once"


def test_other_numbers_give_other_gradients():
    net, params, x, y = feed_forward(activation="relu")
    for _ in range(2):
        gradients(net, params, x, y)
    assert_same_bits(gradients(net, params, -x, y), by_the_graph(net, params, -x, y))


def test_what_is_not_finite_is_named_as_ever():
    net, params, x, y = feed_forward()
    for _ in range(3):
        gradients(net, params, x, y)
    broken = {**params, "W2": np.where(np.eye(3, 5) > 0, np.nan, params["W2"])}
    with pytest.raises(NonFiniteError, match="'W2' is not finite"):
        gradients(net, broken, x, y)
    with pytest.raises(NonFiniteError, match="the quantity 'a1'"):
        gradients(net, {**params, "W1": params["W1"] * 1e308}, x * 1e10, y)
    assert np.isnan(gradients(net, broken, x, y, check_finite=False)["W1"]).all()


def test_wrong_labels_are_found_as_ever():
    net, params, x, y = feed_forward()
    for _ in range(3):
        gradients(net, params, x, y)
    with pytest.raises(InputError, match="must be in"):
        gradients(net, params, x, y + 7)


class Noise(Operation):
    """Adds something else each time: what must never be frozen into code."""

    name = "noise"
    times = 0

    def shape(self, shapes, leads):
        return shapes[0]

    def value(self, xs, leads):
        Noise.times += 1
        return xs[0] + Noise.times

    def local(self, slot, xs, y, leads):
        return Diagonal(1.0 + 0.0 * xs[0], xs[0].ndim - leads[0])

    def formula(self, *operands):
        return f"{operands[0]} + noise"

    def local_formula(self, slot, *operands):
        return "1"


def noisy(x, *, W):
    return ops.squared_error(ops.apply(Noise(), W @ x), x)


def test_operations_of_ones_own_are_done_again_each_time():
    net = graph(noisy)
    params, x = {"W": np.eye(2)}, np.zeros((1, 2))
    before = Noise.times
    losses = [float(gradients(net, params, x).loss) for _ in range(4)]
    assert losses == [2.0 * (before + n) ** 2 for n in range(1, 5)]
    with pytest.raises(UnsupportedError, match="noise"):
        source(net, params, x)


def test_there_is_no_text_for_other_libraries():
    torch = pytest.importorskip("torch")
    net, params, x, y = feed_forward()
    arrays = {k: torch.tensor(v) for k, v in params.items()}
    with pytest.raises(UnsupportedError, match="torch"):
        source(net, arrays, torch.tensor(x), torch.tensor(y))
