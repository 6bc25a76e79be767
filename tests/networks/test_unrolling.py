"""A recurrent network as a graph of its steps: the same values and gradients, and Jacobians and paths between steps."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import everygrad as eg
from everygrad.checks.tolerance import EXACT, FRAMEWORK, assert_close
from everygrad.errors import InputError, UnsupportedError
from everygrad.graph import Builder
from everygrad.graph.losses import SquaredError
from everygrad.graph.operation import Operation
from everygrad.jacobians import Row
from tests.networks.recurrent_cases import Case, Made, cases, made
from tests.networks.recurrent_library import asked, data, network
from tests.networks.recurrent_oracle import CELLS, plain_loops


def unrolled(numbers: Made, remember: str = "all", **more):
    return eg.unroll(network(numbers.case, remember), numbers.params, *data(numbers), **more)


def stacked(u, arrays, name: str, like: np.ndarray) -> np.ndarray:
    """The steps of a quantity in one array; no entry means no gradient."""
    names = u.steps[name]
    if len(names) == 1 and names[0] == name:
        return arrays[name]
    return np.stack([arrays[n] if n in arrays else np.zeros_like(like[:, 0]) for n in names], axis=1)


@settings(max_examples=12)
@given(cases(longest=6))
def test_every_gradient_is_that_of_plain_loops(case):
    numbers = made(case)
    u, oracle = unrolled(numbers), plain_loops(numbers)
    assert all(node.lead < 2 for node in u.graph.nodes)
    assert not any(node.operation and node.operation.name == "scan" for node in u.graph.nodes)
    g = eg.gradients(*u)
    assert_close(g.loss, np.asarray(oracle.loss), FRAMEWORK, "loss")
    for name, reference in asked(numbers, oracle.total).items():
        resolved = network(case).graph.resolve(name)
        assert_close(stacked(u, g, resolved, reference), reference, FRAMEWORK, name)
    for name, reference in asked(numbers, oracle.values).items():
        values = stacked(u, g.trace, name, reference)
        kept = u.kept.get(name, True if name != "out" or case.read != "each" else numbers.mask)
        assert_close(np.where(np.asarray(kept)[..., None], values, 0), reference, FRAMEWORK, name)


@pytest.mark.parametrize("remember", ["all", "sqrt"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("lengths", [False, True, "mask"])
def test_every_reduction_over_samples_and_steps(remember, reduction, weighted, lengths):
    """The library's own pass over the scan as the oracle; with "none" the losses of all steps are added up."""
    numbers = made(Case("lstm", read="each", lengths=lengths, weighted=weighted, T=5, B=4, seed=3))
    loss = SquaredError(reduction)
    net = eg.Recurrent(eg.LSTM(3, 4), 3, "each", loss=loss, lengths=lengths, weighted=weighted, remember=remember)
    y = np.random.default_rng(0).normal(size=(4, 5, 3))
    given = [numbers.x, y, *data(numbers)[2:]]
    g, u = eg.gradients(net, numbers.params, *given), eg.unroll(net, numbers.params, *given)
    found = eg.gradients(*u)
    assert_close(found.loss.sum(), g.loss.sum())
    for name in g:
        if name != "loss":
            assert_close(stacked(u, found, name, g[name]), g[name], name=name)


# --------------------------------------------------------------------------------------------- graphs of one's own


def leaky(x, states, p):
    s, slow = states
    a = p.U @ x + p.W @ s
    rate = eg.ops.sigmoid(p.r)  # of parameters alone
    s = s + rate * (eg.ops.tanh(a) - s)
    return s, 0.9 * slow + 0.1 * s


def own_graph() -> eg.Graph:
    """An encoder whose last states begin a decoder, operations on sequences between, per-step and last-step losses."""
    made_cell = eg.Cell(leaky, 2, {"s": 3, "slow": 3}, {"U": (3, 2), "W": (3, 3), "r": (3,)}).cell
    builder = Builder()
    x, y, w = (builder.given(name, "data", lead=2) for name in "xyw")
    lengths = builder.given("lengths", "data")
    p = {name: builder.given(name, "parameter") for name in ("U", "W", "r", "V")}
    own = {name: p[name] for name in "UWr"}
    coded = eg.ops.scan(made_cell, x, own, {"s": 3, "slow": 3}, lengths, label="coder", suffix="_c")
    both = eg.ops.tanh(eg.ops.concatenate(coded["s"], 0.5 * coded["slow"]))
    mixed = eg.ops.affine(both[::2], p["V"]).named("mixed")
    read = eg.ops.scan(made_cell, mixed, own, coded.end, reverse=True, label="reader", suffix="_r")
    each = eg.ops.squared_error(read["s"], y, w, reduction="none").named("each")
    first = eg.ops.at_step(read["slow"], 1).named("first")
    mean = eg.ops.mean_over_time(mixed).named("mean")
    loss = eg.ops.reduce(each, w) + eg.ops.reduce(eg.ops.dot(first, first) + eg.ops.sum(mean))
    return builder.graph(loss.named("loss"))


def own_numbers(graph: eg.Graph):
    rng = np.random.default_rng(2)
    shapes = {"U": (3, 2), "W": (3, 3), "r": (3,), "V": (2, 3)}
    params = {name: rng.normal(size=shapes[name]) for name in graph.parameters}
    T, B = 6, 4
    given = {"x": (B, T, 2), "y": (B, T, 3), "w": (B, T)}
    arrays = [rng.uniform(0.5, 1.5, given[name]) for name in ("x", "y", "w")]
    return params, [*arrays, np.array([6, 1, 3, 5])]


def by_torch(params, arrays) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The same network written once more, with a loop over the steps of each sample."""
    p = {name: torch.tensor(a, requires_grad=True) for name, a in params.items()}
    x, y, w = (torch.tensor(a, requires_grad=True) for a in arrays[:3])
    B, T = w.shape

    def step(x, s, slow):
        s = s + torch.sigmoid(p["r"]) * (torch.tanh(p["U"] @ x + p["W"] @ s) - s)
        return s, 0.9 * slow + 0.1 * s

    losses, rest = [], []
    for b in range(B):
        s, slow, mixed = torch.zeros(3).double(), torch.zeros(3).double(), []
        for t in range(T):
            shown = torch.zeros(6).double()
            if t < arrays[3][b]:
                s, slow = step(x[b, t], s, slow)
                shown = torch.cat([s, 0.5 * slow])
            mixed.append(p["V"] @ torch.tanh(shown)[::2])
        slows = {}
        for t in reversed(range(T)):
            s, slow = step(mixed[t], s, slow)
            slows[t] = slow
            losses.append(w[b, t] * w[b, t] * ((s - y[b, t]) ** 2).sum())
        rest.append((slows[1] ** 2).sum() + torch.stack(mixed).mean(0).sum())
    loss = torch.stack(losses).sum() / w.sum() + torch.stack(rest).mean()
    loss.backward()
    return loss, {**{name: t.grad for name, t in p.items()}, "x": x.grad, "y": y.grad, "w": w.grad}


def test_a_graph_of_ones_own_with_two_scans():
    graph = own_graph()
    params, arrays = own_numbers(graph)
    u = eg.unroll(graph, params, *arrays)
    loss, expected = by_torch(params, arrays)
    g = eg.gradients(*u)
    assert_close(g.loss, loss.detach().numpy(), FRAMEWORK)
    for name, reference in expected.items():
        reference = reference.numpy()
        assert_close(stacked(u, g, name, reference), reference, FRAMEWORK, name)
    assert u.graph.parameters == graph.parameters
    assert [name for name in u.graph.data if name.endswith("[0]")] == ["x[0]", "y[0]", "w[0]"]
    assert {"s0_c", "slow0_c"} < set(u.graph.data)


def test_a_cell_that_is_not_defined_at_zero_with_padding():
    def inverse(x, states, p):
        return eg.ops.tanh(p.U @ (1 / x) + p.W @ eg.ops.log(2 + states.h))

    net = eg.Recurrent(eg.Cell(inverse, 2, {"h": 2}, {"U": (2, 2), "W": (2, 2)}), 2, lengths=True)
    x = np.random.default_rng(0).uniform(1, 2, (3, 4, 2))
    x[1, 2:] = 0.0
    given = (net.init(0), x, np.array([0, 1, 0]), np.array([4, 2, 3]))
    g, u = eg.gradients(net, *given), eg.unroll(net, *given)
    found = eg.gradients(*u)
    for name in ("x", "h", "U", "W"):
        assert_close(stacked(u, found, name, g[name]), g[name], name=name)


# ----------------------------------------------------------------------------------------- what it is good for


@pytest.mark.parametrize("case", [Case("elman", T=6), Case("lstm", T=6), Case("gru", T=6, B=2)], ids=lambda c: c.cell)
def test_a_jacobian_between_two_steps(case):
    """∂h_5/∂h_2, by the complex step of plain loops that begin with h_2; other states (c_2) keep their values."""
    numbers = made(case)
    u = unrolled(numbers)
    J = eg.jacobian(*u, of="h[5]", wrt="h[2]").dense()
    values, p = plain_loops(numbers).values, numbers.cell(case.stack[0])
    for b in range(case.B):
        for j in range(case.units):
            s = {k: values[k][b, 2].astype(complex) for k in case.states}
            s["h"][j] += 1e-30j
            for t in (3, 4, 5):
                s = CELLS[case.cell][0](case, p, numbers.x[b, t], s)
            assert_close(J[b, :, j], s["h"].imag / 1e-30, EXACT)


def test_the_jacobian_by_a_weight_is_a_sum_over_steps():
    numbers = made(Case("elman", T=4))
    u = unrolled(numbers)
    J = eg.jacobian(*u, of="h[3]", wrt="W").dense()
    seed = np.random.default_rng(0).normal(size=(3, 4))
    trace = eg.forward(*u, of="h[3]")
    assert_close(np.einsum("bp,bpqr->qr", seed, J), eg.backward(trace, of="h[3]", seed=seed)["W"])


@pytest.mark.parametrize("case", [Case("elman", units=2, T=4, lengths=True), Case("lstm", units=2, T=3)])
def test_all_paths_add_up_to_the_gradient(case):
    numbers = made(case)
    u, total = unrolled(numbers), plain_loops(numbers).total
    for t, unit, sample in ((1, 0, 0), (0, 1, 2)):
        found = eg.paths(*u, wrt=(f"h[{t}]", unit), sample=sample, k=100_000)
        assert found.count == len(found.paths) > 10
        assert_close(sum(path.product for path in found.paths), total["h"][sample, t, unit], FRAMEWORK)
        assert eg.paths(*u, wrt=f"h[{t}][{unit}]", sample=sample, k=1).paths == found.paths[:1]


def test_the_checker_goes_through_it():
    numbers = made(Case("elman", layers=2, bidirectional=True, lengths="mask", read="mean", T=3, B=2, units=2))
    result = eg.check(*unrolled(numbers))
    assert result.ok, result
    assert {"h_l1_reverse[2]", "a_l0[0]", "x[1]", "W_l1_reverse", "h_mean"} <= {row.name for row in result.rows}


def test_thousands_of_steps():
    numbers = made(Case("elman", read="mean", units=2, inputs=1, T=2000, B=1))
    u = unrolled(numbers)
    g, whole = eg.gradients(*u), eg.gradients(network(numbers.case), numbers.params, *data(numbers))
    for name in ("W", "U", "b", "V", "x", "h"):
        assert_close(stacked(u, g, name, whole[name]), whole[name], name=name)
    assert repr(u) == f"UnrolledNetwork(2000 steps, {len(u.graph.nodes)} nodes; output loss)"


# --------------------------------------------------------------------------------------------- names and arguments


def test_names_and_second_names():
    numbers = made(Case("elman", T=3))
    u = unrolled(numbers)
    g = eg.gradients(*u)
    assert g["h_l0[2]"] is g["h[2]"]
    assert g["W_l0"] is g["W"]
    assert u.steps["h"] == ("h[0]", "h[1]", "h[2]")
    assert u.steps["W"] == ("W",)
    assert u.graph.data == ("x[0]", "x[1]", "x[2]", "y", "h0")
    assert str(u.graph).splitlines()[3:5] == ["a[0] = l0.add_1[0] + l0.affine_2[0]", "h[0] = tanh(a[0])"]


def test_a_reverse_layer_counts_steps_as_the_data_do():
    numbers = made(Case("elman", bidirectional=True, T=3))
    lines = str(unrolled(numbers).graph).splitlines()
    assert "l0_reverse.affine_2[2] = W_l0_reverse h0_l0_reverse" in lines
    assert "l0_reverse.affine_2[1] = W_l0_reverse h_l0_reverse[2]" in lines
    assert "h_l0_reverse_end = h_l0_reverse[0]" in lines


def test_a_name_that_is_taken():
    def f(x, *, W):
        h = eg.ops.tanh(W @ x)
        return eg.ops.reduce(eg.ops.sum(h)).named("x[1]")

    graph = eg.graph(f)
    nodes = tuple(dataclasses.replace(n, lead=2) if n.role == "data" else n for n in graph.nodes)
    nodes = tuple(
        dataclasses.replace(n, leads=tuple(2 if k == 1 else k for k in n.leads), lead=2 if n.lead == 1 else n.lead)
        if n.operation
        else n
        for n in nodes
    )
    u = eg.unroll(eg.Graph(nodes, "x[1]"), {"W": np.eye(2)}, np.ones((3, 2, 2)))
    assert u.steps["x"] == ("x[0]", "x[1]'")
    assert u.graph.output == "x[1]"


def test_only_what_is_asked_for():
    numbers = made(Case("lstm", T=3))
    u = eg.unroll(network(numbers.case), numbers.params, numbers.x, of="h")
    assert u.graph.output == "h[2]"
    assert "y" not in u.graph.data
    assert "V" not in u.params
    with pytest.raises(InputError, match="'y' is missing"):
        eg.unroll(network(numbers.case), numbers.params, numbers.x)


def test_a_network_without_time_is_left_as_it_is():
    net = eg.FeedForward([3, 4, 2])
    graph, *rest = eg.unroll(net, net.init(0), np.ones((2, 3)), np.array([0, 1]))
    assert graph.nodes == net.graph.nodes
    assert graph.aliases == net.graph.aliases
    assert len(rest) == 3


class Shift(Operation):
    """y_t = x_{t-1}: it joins steps in a way that no table says."""

    name = "shift"

    def __init__(self, lead: int) -> None:
        self._lead = lead

    def lead(self, leads):
        return self._lead

    def shape(self, shapes, leads):
        return shapes[0]

    def value(self, xs, leads):
        return xs[0].sum(1) if self._lead == 1 else xs[0].sum()

    def local(self, slot, xs, y, leads):
        return Row(np.ones(xs[0].shape[2:]), 1, ())

    def formula(self, *operands):
        return "shift"

    local_formula = formula


def test_an_operation_that_joins_steps_in_its_own_way_is_refused():
    builder = Builder()
    x = builder.given("x", "data", lead=2)
    graph = builder.graph(builder.apply(Shift(1), x, name="z"))
    with pytest.raises(UnsupportedError, match="'z': the operation 'shift' joins steps in a way of its own"):
        eg.unroll(graph, {}, np.ones((2, 3, 4)))


def test_torch_and_jax_arrays():
    numbers = made(Case("elman", lengths=True, T=2, seed=1))
    u = unrolled(numbers)
    expected = eg.gradients(*u)
    net, given = network(numbers.case), data(numbers)
    with jax.enable_x64(True):
        for make in (torch.tensor, jnp.asarray):
            arrays = {name: make(p) for name, p in numbers.params.items()}
            again = eg.unroll(net, arrays, *map(make, given))
            g = eg.gradients(*again)
            assert type(g["h[1]"]) is type(arrays["V"])
            for name in ("h[1]", "x[0]", "W", "b_V"):
                assert_close(np.asarray(g[name]), expected[name], FRAMEWORK, name)
