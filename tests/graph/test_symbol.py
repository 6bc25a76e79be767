import functools

import numpy as np
import pytest

from everygrad.backprop import forward
from everygrad.checks.tolerance import assert_close
from everygrad.errors import InputError
from everygrad.graph import graph, ops
from everygrad.graph.arrange import Transpose
from everygrad.graph.elementwise import RULES
from everygrad.graph.operation import Operation


def value(f, data=(), **params):
    g = graph(f)
    params = {k: np.asarray(v, dtype=float) for k, v in params.items()}
    return np.asarray(forward(g, params, *data).loss)


x = np.array([[0.3, 1.2, 2.0], [0.5, 0.7, 0.1]])
c = np.array([1.5, -2.0, 0.4])
W = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0]])


@pytest.mark.parametrize(
    ("f", "by_hand"),
    [
        (lambda x, *, c: x + c, x + c),
        (lambda x, *, c: c + x, x + c),
        (lambda x, *, c: x - c, x - c),
        (lambda x, *, c: x * c, x * c),
        (lambda x, *, c: x / c, x / c),
        (lambda x, *, c: x + 2, x + 2),
        (lambda x, *, c: 2 + x, x + 2),
        (lambda x, *, c: x - 2, x - 2),
        (lambda x, *, c: 2 - x, 2 - x),
        (lambda x, *, c: x * 3, x * 3),
        (lambda x, *, c: 3.5 * x, x * 3.5),
        (lambda x, *, c: x / 4, x / 4),
        (lambda x, *, c: 4 / x, 4 / x),
        (lambda x, *, c: -x, -x),
        (lambda x, *, c: +x * 1, x),
        (lambda x, *, c: x**2, x**2),
        (lambda x, *, c: x**3, x**3),
        (lambda x, *, c: x**0.5, x**0.5),
        (lambda x, *, c: x**c, x**c),
        (lambda x, *, c: 2**x, 2**x),
        (lambda x, *, c: x[1], x[:, 1]),
        (lambda x, *, c: x[-1], x[:, 2]),
        (lambda x, *, c: x[1:], x[:, 1:]),
        (lambda x, *, c: x[::2], x[:, ::2]),
        (lambda x, *, c: x[[2, 0]], x[:, [2, 0]]),
        (lambda x, *, c: x[np.array([2, 0])], x[:, [2, 0]]),
        (lambda x, *, c: x[np.array([2, 0], dtype=np.uint8)], x[:, [2, 0]]),
        (lambda x, *, c: x[np.int64(1)], x[:, 1]),
        (lambda x, *, c: x[1::1], x[:, 1:]),
        (lambda x, *, c: x * np.float32(2.0) + np.int64(1), 2 * x + 1),
        (lambda x, *, c: x ** np.int64(3), x**3),
        (lambda x, *, c: ops.sum(x) * x, x.sum(1, keepdims=True) * x),
        (lambda x, *, c: ops.dot(x, c), x @ c),
        (lambda x, *, c: ops.concatenate(x, c), np.concatenate([x, [c, c]], axis=1)),
        (lambda x, *, c: ops.flatten(x), x),
    ],
)
def test_operators_mean_what_they_mean_for_numbers(f, by_hand):
    assert_close(value(f, (x,), c=c), by_hand)


@pytest.mark.parametrize(
    "f",
    [
        lambda x, *, W: W @ x,
        lambda x, *, W: x @ W.T,
        lambda x, *, W: ops.affine(x, W),
        lambda x, *, W: W.T.T @ x,
        lambda x, *, W: ops.transpose(ops.transpose(W)) @ x,
    ],
    ids=["W @ x", "x @ W.T", "affine", "W.T.T", "transposed twice"],
)
def test_products_with_a_matrix(f):
    by_hand = np.array([[sum(W[p, q] * row[q] for q in range(3)) for p in range(2)] for row in x])
    assert_close(value(f, (x,), W=W), by_hand)


def test_matrix_times_parameter_vector():
    assert_close(value(lambda *, W, c: W @ c, W=W, c=c), W @ c)
    assert_close(value(lambda *, W, c, b: ops.affine(c, W, b), W=W, c=c, b=np.ones(2)), W @ c + 1)


def test_the_transpose_of_a_transpose_is_the_matrix_itself():
    for f in (lambda x, *, W: x @ W.T, lambda x, *, W: W.T.T @ x):
        assert str(graph(f)) == "loss = W x"
    assert str(graph(lambda x, *, W: x @ W)) == "transpose_1 = Wᵀ\nloss = transpose_1 x"


def test_what_is_neither_named_nor_needed_is_left_out():
    def f(x):
        ops.tanh(x * 3)
        unused = ops.exp(x)  # noqa: F841 (its name is what is tested)
        return ops.sin(x)

    assert [n.name for n in graph(f).nodes] == ["x", "unused", "loss"]


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_activation_is_a_function_of_symbols(name):
    f = getattr(ops, name)
    constants = {"power": {"p": 3.0}}.get(name, {})
    g = graph(lambda x: f(x, **constants))
    node = g.nodes[-1]
    assert node.operation.name == name
    by_name = graph(lambda x: ops.activation(name, x, **constants)).nodes[-1]
    assert dict(by_name.operation.attributes) == dict(node.operation.attributes)
    if name in ("leaky_relu", "elu"):
        key = {"leaky_relu": "slope", "elu": "alpha"}[name]
        assert dict(graph(lambda x: f(x, 0.7)).nodes[-1].operation.attributes) == {key: 0.7}


def test_losses_pass_their_arguments_on():
    def f(z, t, w):
        u = ops.squared_error(z, t, w, reduction="sum", outputs="mean", half=True)
        v = ops.binary_cross_entropy(z, t, w, reduction="sum", outputs="mean")
        q = ops.softmax_cross_entropy(z, t, w, reduction="sum", smoothing=0.2)
        r = ops.reduce(ops.sum(z), w, reduction="sum")
        return u + v + q + r

    g = graph(f)
    attributes = {n: dict(g.by_name[n].operation.attributes) for n in "uvqr"}
    assert attributes == {
        "u": {"reduction": "sum", "outputs": "mean", "half": True},
        "v": {"reduction": "sum", "outputs": "mean"},
        "q": {"reduction": "sum", "smoothing": 0.2},
        "r": {"reduction": "sum"},
    }
    assert [g.by_name[n].inputs for n in "uvqr"] == [("z", "t", "w")] * 3 + [("sum_1", "w")]
    h = graph(lambda z, t: ops.squared_error(z, t) + ops.binary_cross_entropy(z, t) + ops.softmax_cross_entropy(z, t))
    losses = [n for n in h.nodes if n.operation and n.operation.name != "add"]
    assert [dict(n.operation.attributes) for n in losses] == [
        {"reduction": "mean", "outputs": "sum", "half": False},
        {"reduction": "mean", "outputs": "sum"},
        {"reduction": "mean", "smoothing": 0.0},
    ]
    assert dict(graph(lambda z: ops.reduce(z)).nodes[-1].operation.attributes) == {"reduction": "mean"}


def test_quantities_take_the_names_of_variables():
    def f(x, *, W):
        a = W @ x
        hs = [ops.tanh(a)]
        hs.append(ops.relu(hs[-1]))
        x = hs[-1] * 2  # the name of an argument stays the argument's
        b = ops.sum(x).named("total")
        return b, a

    g = graph(f)
    names = [n.name for n in g.nodes]
    assert names == ["x", "W", "a", "hs0", "hs1", "constant_1", "multiply_1", "total"]
    assert g.output == "a"


def test_unnamed_results_are_called_loss_unless_that_is_taken():
    assert graph(lambda x: x * x).output == "loss"
    assert graph(lambda loss: loss * loss).output == "multiply_1"
    assert graph(lambda x: {"u": x * x, "v": x + x}).output == "v"
    assert [n.name for n in graph(lambda x: {"u": x * x, "v": x + x}).nodes] == ["x", "u", "v"]
    assert graph(lambda x: [x * x, (x + x).named("q")]).output == "q"
    assert graph(lambda x: {"u": 3.0, "v": (x + x).named("q")}).output == "q"


def test_names_made_up_do_not_collide():
    def f(x, tanh_1):
        return ops.tanh(x) + ops.tanh(tanh_1)

    assert [n.name for n in graph(f).nodes] == ["x", "tanh_1", "tanh_2", "tanh_3", "loss"]


def test_names_of_variables_do_not_collide():
    def f(x):
        hs0 = ops.tanh(x)
        hs = [ops.sin(hs0)]  # would be called hs0 too
        return hs[0] * x

    assert [n.name for n in graph(f).nodes] == ["x", "hs0", "sin_1", "loss"]


def test_the_variables_of_the_function_are_not_kept():
    kept = []

    def f(x):
        kept.append(x)
        return x * x

    graph(f)
    assert kept[0].builder.frame is None


def test_parameters_may_be_named_instead():
    def f(x, W):
        return W @ x

    g = graph(f, parameters=["W"])
    assert (g.data, g.parameters) == (("x",), ("W",))
    with pytest.raises(InputError, match=r"^parameters \['V'\] are not arguments of f$"):
        graph(f, parameters=["W", "V"])
    with pytest.raises(
        InputError, match=r"^parameters \['V'\] are not arguments of functools.partial\(<function .*\)$"
    ):
        graph(functools.partial(f), parameters=["W", "V"])  # which has no name


def test_wrapped_functions_and_partial_ones():
    def f(x, *, c):
        a = x * c
        return ops.tanh(a)

    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        return f(*args, **kwargs)

    assert [n.name for n in graph(wrapper).nodes] == ["x", "c", "a", "loss"]
    g = graph(functools.partial(lambda x, k: x * k, k=3.0))
    assert "k" in g.parameters  # a keyword of a partial is an argument like any other


def test_a_function_that_fails_fails_as_itself():
    with pytest.raises(ZeroDivisionError):
        graph(lambda x: x * (1 // 0))


def test_the_variables_are_those_of_the_outermost_call():
    def f(x, depth=None):
        a = ops.tanh(x)
        return a if depth == 0 else f(a, 0)

    assert [n.name for n in graph(lambda x: f(x)).nodes] == ["x", "tanh_1", "loss"]

    def g(x, *, c):
        a = x * c
        inner = ops.sin(a)
        return inner  # noqa: RET504 (its name is what is tested)

    assert [n.name for n in graph(g).nodes] == ["x", "c", "a", "inner"]


class Nameless(Operation):
    shape = value = local = formula = local_formula = Transpose.value


def foreign():
    kept = []
    graph(lambda x: kept.append(x) or x * 1)
    return kept[0]


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda *xs: xs[0], r"^\*xs: the arguments of a graph's function must be named one by one$"),
        (lambda **xs: xs, r"^\*\*xs: the arguments"),
        (lambda x: 3.0, r"^the function must return a symbol \(the quantity to differentiate\), got 3.0$"),
        (lambda x: None, r"^the function must return a symbol .* got None$"),
        (lambda x: (), r"^the function must return a symbol .* got \(\)$"),
        (
            lambda x: x + np.ones(3),
            r"^expected a symbol or a number, got ndarray: make arrays parameters of the function$",
        ),
        (lambda x: x + "a", r"^expected a symbol or a number, got str"),
        (lambda x: x * True, r"^expected a symbol or a number, got bool"),
        (lambda x: x ** "a", r"^an exponent must be a number or a symbol, got str$"),
        (lambda x: x["a"], r"^a symbol is indexed by an integer, a slice or a list of integers, got 'a'$"),
        (lambda x: x[0.5], r"^a symbol is indexed by .*, got 0.5$"),
        (lambda x: x[::0], r"^a symbol is indexed by .*, got slice\(None, None, 0\)$"),
        (lambda x: x[True], r"^a symbol is indexed by .*, got True$"),
        (lambda x: x[[True, False]], r"^a symbol is indexed by .*, got \[True, False\]$"),
        (lambda x: x[np.array([[0]])], r"^a symbol is indexed by .*, got array\(\[\[0\]\]\)$"),
        (lambda x: x[np.array([True])], r"^a symbol is indexed by .*, got array\(\[ True\]\)$"),
        (lambda x: x**True, r"^an exponent must be a number or a symbol, got bool$"),
        (lambda x: x.named("z"), r"^'x' is an argument of the function: its name cannot be changed$"),
        (lambda x: ops.apply("tanh", x), r"^apply takes an Operation with a name, got 'tanh': subclass"),
        (lambda x: ops.apply(Nameless(), x), r"^apply takes an Operation with a name, got Nameless\(\): subclass"),
        (lambda x: list(x), r"^a symbol has no length until data arrive: index it, h\[0\], h\[1:3\]$"),
        (lambda x: x or x * 2, r"^a symbol has no value: a graph cannot depend on one with 'if' or 'while'$"),
        (lambda x: x + foreign(), r"^a symbol of another graph was used: symbols live in the function"),
        (
            lambda x: ops.concatenate(),
            r"^concatenate acts on symbols inside a function given to eg.graph, got nothing$",
        ),
        (lambda x: ops.dot(3.0, "a"), r"^dot acts on symbols .*, got float, str$"),
        (lambda x: ops.activation("add", x), r"^unknown activation 'add'"),
    ],
)
def test_what_cannot_be_a_graph_is_refused(f, message):
    with pytest.raises(InputError, match=message):
        graph(f)


def test_a_matrix_product_needs_two_symbols():
    with pytest.raises(TypeError):
        graph(lambda x: x @ np.ones((3, 3)))
    with pytest.raises(TypeError):
        graph(lambda x: x @ 3)


def test_a_symbol_shows_its_name():
    shown = []

    def f(x):
        a = x * 2
        shown.extend([repr(x), repr(a)])
        return a.named("twice")

    graph(f)
    assert shown == ["Symbol(x)", "Symbol(2)"]


def test_ten_thousand_nodes():
    def f(x, *, c):
        for _ in range(10_000):
            x = ops.sin(x) + c
        return ops.reduce(ops.sum(x))

    g = graph(f)
    assert len(g.nodes) == 20_004
    s = 0.3
    for _ in range(10_000):
        s = np.sin(s) + 0.1
    assert_close(value(f, (np.array([[0.3]]),), c=0.1), np.array(s))


def test_sequences_have_a_time_axis() -> None:
    g = graph(lambda x, y, *, W: ops.squared_error(ops.mean_over_time(W @ x), y), sequences="x")
    assert [g.by_name[name].lead for name in ("x", "y", "W")] == [2, 1, 0]

    def f(x, *, W):
        return W @ x

    with pytest.raises(InputError, match=r"^sequences \['z'\] are not arguments of f$"):
        graph(f, sequences=["z"])
