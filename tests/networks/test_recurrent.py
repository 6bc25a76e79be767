"""Recurrent networks and cells as they are built: names, shapes, data, first parameters, and what is refused."""

import dataclasses

import numpy as np
import pytest

import everygrad as eg
from everygrad.backprop import forward, gradients
from everygrad.checks.tolerance import assert_close
from everygrad.errors import InputError, NonFiniteError, UnknownNameError
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.losses import SquaredError
from everygrad.networks import GRU, LSTM, Cell, Elman, Recurrent
from everygrad.networks.initialise import orthogonal

B, T, IN = 3, 5, 2
LENGTHS = np.array([5, 1, 3])
MASK = np.arange(T) < LENGTHS[:, None]


def leaky(x, states, p):
    a = p.U @ x + p.W @ states.s
    return states.s + p.rate * (eg.ops.tanh(a) - states.s)


def own(inputs=IN, parameters=None):
    fixed = {"U": (4, inputs), "W": (4, 4), "rate": ()}
    return Cell(leaky, inputs, {"s": 4}, fixed if parameters is None else parameters)


def data_for(net, seed=0):
    """Data of every kind that a network takes, by name."""
    rng = np.random.default_rng(seed)
    at = (B, T) if net.read == "each" else (B,)
    x = rng.normal(size=(B, T, IN)) if net.embedding is None else rng.integers(0, net.embedding[0], (B, T))
    y = rng.integers(0, net.outputs, at) if net.loss.name.startswith("softmax") else rng.normal(size=(*at, net.outputs))
    data = {"x": x, "y": y, "lengths": LENGTHS, "mask": MASK, "weight": rng.uniform(0.5, 2, at)}
    for layer in net.layers:
        data |= {f"{s}0{layer.suffix}": rng.normal(size=(B, n)) for s, n in layer.cell.states.items()}
    return {name: data[name] for name in net.graph.data}


# ------------------------------------------------------------------------------------------------ cells


@pytest.mark.parametrize(
    ("cell", "shapes", "quantities", "text"),
    [
        (Elman(3, 4), {"U": (4, 3), "b": (4,), "W": (4, 4)}, ["a", "h"], "Elman 3-4, tanh"),
        (Elman(3, 4, "relu", bias=False), {"U": (4, 3), "W": (4, 4)}, ["a", "h"], "Elman 3-4, relu"),
        (
            LSTM(3, 4),
            {f"{p}_{k}": s for k in "ifgo" for p, s in (("U", (4, 3)), ("b", (4,)), ("W", (4, 4)))},
            ["a_f", "a_g", "a_i", "a_o", "c", "f", "g", "h", "i", "o"],
            "LSTM 3-4",
        ),
        (
            LSTM(3, 4, projection=2, bias=False),
            {**{f"{p}_{k}": s for k in "ifgo" for p, s in (("U", (4, 3)), ("W", (4, 2)))}, "R": (2, 4)},
            ["a_f", "a_g", "a_i", "a_o", "c", "f", "g", "h", "i", "m", "o"],
            "LSTM 3-4, projected to 2",
        ),
        (
            GRU(3, 4),
            {**{f"{p}_{k}": s for k in "rzn" for p, s in (("U", (4, 3)), ("b", (4,)), ("W", (4, 4)))}, "b_hn": (4,)},
            ["a_n", "a_r", "a_z", "h", "n", "r", "z"],
            "GRU 3-4, reset after",
        ),
        (
            GRU(3, 4, reset="before"),
            {f"{p}_{k}": s for k in "rzn" for p, s in (("U", (4, 3)), ("b", (4,)), ("W", (4, 4)))},
            ["a_n", "a_r", "a_z", "h", "n", "r", "z"],
            "GRU 3-4, reset before",
        ),
        (
            GRU(3, 4, bias=False),
            {f"{p}_{k}": s for k in "rzn" for p, s in (("U", (4, 3)), ("W", (4, 4)))},
            ["a_n", "a_r", "a_z", "h", "n", "r", "z"],
            "GRU 3-4, reset after",
        ),
        (own(), {"U": (4, 2), "W": (4, 4), "rate": ()}, ["a", "s"], "leaky 2-(s 4)"),
    ],
    ids=str,
)
def test_cells(cell, shapes, quantities, text):
    assert dict(cell.shapes) == shapes
    assert set(cell.cell.parameters) == set(shapes)
    assert sorted(cell.cell.quantities) == quantities
    assert tuple(cell.states) == tuple(name for name, _ in cell.cell.states)
    assert cell.cell is cell.cell
    assert str(cell) == text
    assert cell.units == 4


def test_sizes_of_states():
    assert (dict(LSTM(3, 4).states), LSTM(3, 4).output) == ({"h": 4, "c": 4}, 4)
    assert (dict(LSTM(3, 4, projection=2).states), LSTM(3, 4, projection=2).output) == ({"h": 2, "c": 4}, 2)
    assert (dict(Elman(3, 4).states), dict(GRU(3, 4).states), dict(own().states)) == ({"h": 4}, {"h": 4}, {"s": 4})


def test_cells_are_frozen_records():
    assert Elman(3, 4) == Elman(3, 4, Elementwise("tanh"))
    assert Elman(3, 4) != Elman(3, 4, "relu")
    assert Elman(3, 4).with_inputs(7) == Elman(7, 4)
    assert LSTM(3, 4, 2, False, 0.5).with_inputs(7) == LSTM(7, 4, 2, False, 0.5)
    assert GRU(3, 4, "before", False).with_inputs(7) == GRU(7, 4, "before", False)
    assert len({LSTM(3, 4), LSTM(3, 4), GRU(3, 4)}) == 2
    for cell in (Elman(3, 4), own()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            cell.inputs = 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Elman(0, 2.5),
            "Elman: 2 problems\n  - inputs=0: expected a whole number of at least 1\n"
            "  - units=2.5: expected a whole number of at least 1",
        ),
        (lambda: Elman(1, 2, "tanhh"), "unknown activation 'tanhh'. Did you mean 'tanh'?"),
        (lambda: Elman(1, 2, 3), "an activation is a name or an Elementwise, got 3"),
        (lambda: LSTM(True, 2), "LSTM: 1 problem\n  - inputs=True: expected a whole number of at least 1"),
        (lambda: LSTM(1, 2, 2), "LSTM: 1 problem\n  - projection=2 must be smaller than the number of units, 2"),
        (lambda: LSTM(1, 2, 0), "LSTM: 1 problem\n  - projection=0: expected a whole number of at least 1"),
        (
            lambda: LSTM(1, 2, forget_bias=np.nan),
            "LSTM: 1 problem\n  - forget_bias=nan: expected a finite number",
        ),
        (
            lambda: GRU(1, -2, "later"),
            "GRU: 2 problems\n  - units=-2: expected a whole number of at least 1\n"
            "  - reset='later': expected 'after' or 'before' the product with W_n",
        ),
        (
            lambda: Cell(3, 0, {}, [1]),
            "Cell: 4 problems\n  - inputs=0: expected a whole number of at least 1\n"
            "  - function=3: expected a function (x, states, parameters) -> states\n"
            "  - states={}: expected at least one, by name with its size: {'h': 32}\n"
            "  - parameters=[1]: expected shapes by name, or a function of the number of inputs",
        ),
        (
            lambda: Cell(leaky, 2, {"s": 0}),
            "Cell: 1 problem\n  - states['s']=0: expected a whole number of at least 1",
        ),
        (
            lambda: own(parameters={"U": (4, 2), "W": (4, 0), "rate": 1}),
            "Cell: 2 problems\n  - the shape of 'W' is (4, 0): expected a tuple of whole numbers of at least 1\n"
            "  - the shape of 'rate' is 1: expected a tuple of whole numbers of at least 1",
        ),
        (
            lambda: own(parameters=lambda n: [n]),
            "Cell: 1 problem\n  - parameters(inputs) gave [2]: expected shapes by name",
        ),
        (
            lambda: own(parameters={"U": (4, 2), "W": (4, 4), "V": (1,)}),
            "Cell: 2 problems\n  - the function uses the parameter 'rate': give its shape\n"
            "  - the function does not use the parameter 'V'",
        ),
        (
            lambda: own(parameters={"U": (4, 3), "W": (5, 4), "rate": ()}),
            "Cell: 1 problem\n  - 'affine_1' from (x, U): affine W h + b: W has shape (4, 3), so h must have 3",
        ),
        (
            lambda: Cell(lambda x, s, p: p.W @ s.h, 2, {"h": 3}, {"W": (4, 3)}),
            "Cell: 1 problem\n  - the state 'h' has 3 units, but the function gives it the shape (4,)",
        ),
    ],
)
def test_cells_that_are_refused(make, message):
    with pytest.raises(InputError) as error:
        make()
    assert str(error.value).startswith(message)


# ---------------------------------------------------------------------------------------- construction


def test_one_layer_has_plain_names_and_those_of_torch():
    net = Recurrent(LSTM(8, 32), outputs=10)
    assert net.prediction == "out"
    assert net.graph.data == ("x", "y")
    assert tuple(net.shapes) == (*LSTM(8, 32).shapes, "V", "b_V")
    assert (net.shapes["V"], net.shapes["b_V"]) == ((10, 32), (10,))
    assert set(net.shapes) == set(net.graph.parameters)
    for name in ("h", "c", "i", "f", "g", "o", "a_i", "U_i", "W_o", "b_f", "h_end", "c_end"):
        assert net.graph.resolve(name) == name
        stem, _, end = name.rpartition("_end")
        assert net.graph.resolve(f"{stem}_l0_end" if stem else f"{end}_l0") == name
    assert str(net) == "Recurrent LSTM 8-32, read last, softmax_cross_entropy, 5,578 parameters"
    assert net.graph is net.graph
    first = Recurrent(Elman(2, 3), 2, initial=True).graph
    assert first.data == ("x", "y", "h0")
    assert first.resolve("h0_l0") == "h0"


def test_several_layers_and_directions_end_as_in_torch():
    net = Recurrent(GRU(2, 3), outputs=4, layers=2, bidirectional=True)
    assert [(layer.label, layer.suffix, layer.cell.inputs, layer.reverse) for layer in net.layers] == [
        ("l0", "_l0", 2, False),
        ("l0_reverse", "_l0_reverse", 2, True),
        ("l1", "_l1", 6, False),
        ("l1_reverse", "_l1_reverse", 6, True),
    ]
    assert net.shapes["U_r_l1_reverse"] == (3, 6)
    assert net.shapes["V"] == (4, 6)
    names = {n.name for n in net.graph.nodes}
    assert {"h_l0", "h_l0_reverse", "z_l1_reverse", "a_n_l1", "h_l0_both", "h_l1_both", "h_both_end"} <= names
    assert "h" not in names
    assert str(net) == (
        "Recurrent GRU 2-3, reset after, 2 layers, bidirectional, read last, softmax_cross_entropy, 328 parameters"
    )
    deep = Recurrent(LSTM(2, 5, projection=3), outputs=4, layers=2)
    assert (deep.shapes["U_i_l1"], deep.shapes["W_i_l1"], deep.shapes["V"]) == ((5, 3), (5, 3), (4, 3))


@pytest.mark.parametrize(
    ("settings", "data"),
    [
        ({}, ("x", "y")),
        ({"lengths": True}, ("x", "y", "lengths")),
        ({"lengths": "mask", "weighted": True}, ("x", "y", "mask", "weight")),
        ({"weighted": True, "initial": True}, ("x", "y", "weight", "h0", "c0")),
        ({"layers": 2, "initial": True}, ("x", "y", "h0_l0", "c0_l0", "h0_l1", "c0_l1")),
        ({"embedding": (7, IN), "bidirectional": True, "initial": True},
         ("x", "y", "h0_l0", "c0_l0", "h0_l0_reverse", "c0_l0_reverse")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("read", ["last", "each", "mean"])
def test_data_in_this_order(settings, data, read):
    net = Recurrent(LSTM(IN, 3), outputs=2, read=read, **settings)
    assert net.graph.data == data
    given, params = data_for(net), net.init(0)
    by_name, in_order = gradients(net, params, **given), gradients(net, params, *given.values())
    assert by_name.loss == in_order.loss
    assert set(params) == set(net.graph.parameters)
    for name, shape in net.shapes.items():
        assert by_name[name].shape == shape
        assert np.abs(by_name[name]).max() > 0
    for name in data:
        if name.startswith(("h0", "c0")):
            assert np.abs(by_name[name]).max() > 0


def test_the_backward_half_is_read_after_its_own_last_step():
    net = Recurrent(Elman(IN, 3), outputs=2, bidirectional=True, lengths=True)
    params, data = net.init(0), data_for(net)
    trace = forward(net, params, **data)
    for b in range(B):
        np.testing.assert_array_equal(trace["h_both_end"][b, :3], trace["h_l0"][b, LENGTHS[b] - 1])
        np.testing.assert_array_equal(trace["h_both_end"][b, 3:], trace["h_l0_reverse"][b, 0])
    assert_close(trace["out"], trace["h_both_end"] @ params["V"].T + params["b_V"])


def test_the_mean_is_over_the_steps_that_count():
    net = Recurrent(Elman(IN, 3), outputs=2, read="mean", lengths="mask")
    trace = forward(net, net.init(0), **data_for(net))
    for b in range(B):
        assert_close(trace["h_mean"][b], sum(trace["h"][b, t] for t in range(LENGTHS[b])) / LENGTHS[b])


def test_a_loss_of_each_step_counts_neither_padding_nor_what_stands_there():
    net = Recurrent(Elman(IN, 3), outputs=4, read="each", lengths=True, weighted=True)
    params, data = net.init(0), data_for(net)
    g = gradients(net, params, **data)
    total = weights = 0.0
    for b in range(B):
        for t in range(LENGTHS[b]):
            z = g.trace["out"][b, t]
            total += data["weight"][b, t] * (np.log(np.exp(z).sum()) - z[data["y"][b, t]])
            weights += data["weight"][b, t]
    assert_close(np.asarray(g.loss), np.asarray(total / weights))
    dirty = {name: array.copy() for name, array in data.items()}
    dirty["x"][~MASK], dirty["y"][~MASK], dirty["weight"][~MASK] = np.nan, -100, 1e9
    again = gradients(net, params, **dirty)
    assert again.loss == g.loss
    for name in net.shapes:
        np.testing.assert_array_equal(again[name], g[name], err_msg=name)
    for name in ("x", "a", "h", "out", "weight"):
        np.testing.assert_array_equal(again[name][~MASK], 0.0, err_msg=name)
        np.testing.assert_array_equal(again[name][MASK], g[name][MASK], err_msg=name)


def test_targets_of_numbers_may_be_nan_in_the_padding():
    net = Recurrent(GRU(IN, 3), outputs=2, read="each", loss=SquaredError(half=True), lengths="mask")
    params, data = net.init(0), data_for(net)
    g = gradients(net, params, **data)
    data["y"] = np.where(MASK[..., None], data["y"], np.nan)
    again = gradients(net, params, **data)
    assert again.loss == g.loss
    np.testing.assert_array_equal(again["y"][~MASK], 0.0)
    np.testing.assert_array_equal(again["W_n"], g["W_n"])
    data["y"][1, 0] = np.nan
    with pytest.raises(NonFiniteError):
        gradients(net, params, **data)


def test_tokens_are_looked_up_and_share_their_rows():
    net = Recurrent(GRU(IN, 3), outputs=2, embedding=(6, IN), lengths=True)
    assert net.shapes["E"] == (6, IN)
    params, data = net.init(0), data_for(net)
    data["x"] = np.where(MASK, data["x"] % 5, -1)  # the padding holds no token, and token 5 is not used
    g = gradients(net, params, **data)
    expected = np.zeros((6, IN))
    for b in range(B):
        for t in range(LENGTHS[b]):
            expected[data["x"][b, t]] += g["embedded"][b, t]
    assert_close(g["E"], expected)
    np.testing.assert_array_equal(g["E"][5], 0.0)
    dense = Recurrent(GRU(IN, 3), outputs=2, lengths=True)
    rest = {name: p for name, p in params.items() if name != "E"}
    looked_up = {**data, "x": params["E"][data["x"]]}
    assert_close(gradients(dense, rest, **looked_up)["W_n"], g["W_n"])
    assert_close(gradients(dense, rest, **looked_up)["x"], g["embedded"])


def test_a_cell_of_ones_own_is_stacked_if_its_shapes_follow_the_inputs():
    shapes = {"W": (4, 4), "rate": ()}
    net = Recurrent(own(parameters=lambda inputs: {"U": (4, inputs), **shapes}), 2, layers=2, bidirectional=True)
    assert (net.shapes["U_l0"], net.shapes["U_l1"], net.shapes["rate_l1_reverse"]) == ((4, 2), (4, 8), ())
    assert gradients(net, net.init(0), **data_for(net))["s_l1"].shape == (B, T, 4)
    assert Recurrent(own(inputs=4), 2, layers=2).shapes["U_l1"] == (4, 4)
    with pytest.raises(InputError, match=r"parameters are for 2 inputs, the layers above the first have 4: give"):
        Recurrent(own(), 2, layers=2)


def test_remember_changes_nothing_but_the_memory():
    data = data_for(Recurrent(LSTM(IN, 3), 2, layers=2, lengths=True))
    nets = [Recurrent(LSTM(IN, 3), 2, layers=2, lengths=True, remember=mode) for mode in ("all", "sqrt")]
    params = nets[0].init(0)
    first, second = (gradients(net, params, **data) for net in nets)
    for name in nets[0].shapes:
        assert_close(second[name], first[name], name=name)


@pytest.mark.parametrize(
    ("settings", "problems"),
    [
        (
            {"cell": "lstm", "outputs": 0, "layers": 1.5},
            [
                "outputs=0: expected a whole number of at least 1",
                "layers=1.5: expected a whole number of at least 1",
                "cell='lstm': expected an Elman, LSTM, GRU or Cell, like eg.LSTM(8, 32)",
            ],
        ),
        (
            {"read": "first", "lengths": 1, "remember": "none", "loss": "mse"},
            [
                "read='first': expected one of 'last', 'each', 'mean'",
                "lengths=1: expected one of False, True, 'mask'",
                "remember='none': expected one of 'all', 'sqrt'",
                "unknown loss 'mse'.",
            ],
        ),
        ({"loss": 3}, ["loss must be a name or a loss operation, got 3"]),
        ({"loss": Elementwise("tanh")}, ["loss must be one of softmax_cross_entropy, binary_cross_entropy"]),
        ({"embedding": 7}, ["embedding=7: expected (vocabulary, size), two whole numbers of at least 1"]),
        ({"embedding": (7, 0)}, ["embedding=(7, 0): expected (vocabulary, size), two whole numbers of at least 1"]),
        ({"embedding": (7, 3)}, ["embedding=(7, 3) gives 3 numbers for a token, the cell takes 2"]),
    ],
)
def test_every_bad_argument_is_listed(settings, problems):
    with pytest.raises(InputError) as error:
        Recurrent(**{"cell": LSTM(2, 3), "outputs": 2, **settings})
    head, *lines = str(error.value).split("\n  - ")
    assert head == f"Recurrent: {len(problems)} problem{'s' if len(problems) > 1 else ''}"
    for line, problem in zip(lines, problems, strict=True):
        assert line.startswith(problem)


def test_names_that_the_network_needs_itself():
    def step(x, states, p):
        out = p.V @ x
        return eg.ops.tanh(out + states.h)

    cell = Cell(step, 2, {"h": 3}, {"V": (3, 2)})
    with pytest.raises(InputError) as error:
        Recurrent(cell, 2)
    assert str(error.value).splitlines()[1:] == [
        "  - the cell's 'out' has a name that the network needs itself: give it another",
        "  - the cell's 'V' has a name that the network needs itself: give it another",
    ]
    assert Recurrent(cell, 2, bidirectional=True).shapes["V_l0"] == (3, 2)  # these names end differently


def test_the_public_names():
    assert (eg.Elman, eg.LSTM, eg.GRU, eg.Cell, eg.Recurrent) == (Elman, LSTM, GRU, Cell, Recurrent)


# ------------------------------------------------------------------------------------- first parameters


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (5, 3), (3, 5), (1, 1), (1, 4)])
def test_orthogonal(rows, columns):
    Q = orthogonal(np.random.default_rng(0), rows, columns)
    assert Q.shape == (rows, columns)
    assert_close(Q @ Q.T if rows <= columns else Q.T @ Q, np.eye(min(rows, columns)))


def test_orthogonal_matrices_have_no_preferred_direction():
    """Without the signs of R, the diagonal would lean to one side."""
    diagonals = [np.diag(orthogonal(np.random.default_rng(seed), 3, 3)) for seed in range(400)]
    assert np.abs(np.mean(diagonals, axis=0)).max() < 4 / np.sqrt(3 * 400)


def test_recurrent_weights_are_orthogonal_inputs_glorot_and_biases_zero():
    for cell in (Elman(30, 40), LSTM(30, 40), LSTM(30, 40, projection=20), GRU(30, 40), GRU(30, 40, "before")):
        params = Recurrent(cell, outputs=5).init(0)
        for name, p in params.items():
            if name[0] == "W" or name == "R":
                small = min(p.shape)
                G = p @ p.T if p.shape[0] == small else p.T @ p
                assert name == "R" or np.linalg.norm(G - np.eye(small)) < 1e-12
            elif name[0] == "U":
                limit = np.sqrt(6 / 70)
                assert np.abs(p).max() <= limit
                assert abs(p.std() - limit / np.sqrt(3)) < 0.05 * limit
            elif name[0] == "b" and name != "b_f":
                assert not p.any()
    assert abs(params["V"].std() - np.sqrt(1 / 40)) < 0.2 * np.sqrt(1 / 40)


def test_the_forget_gate_begins_open():
    assert (LSTM(2, 3).init(np.random.default_rng(0))["b_f"] == 1.0).all()
    net = Recurrent(LSTM(2, 3, forget_bias=-0.5), 2, layers=2)
    assert (net.init(0)["b_f_l1"] == -0.5).all()
    assert not net.init(0)["b_i_l1"].any()
    assert "b_f" not in LSTM(2, 3, bias=False).init(np.random.default_rng(0))


def test_a_matrix_is_recurrent_if_it_multiplies_what_is_made_of_a_state():
    def step(x, s, p):
        mixed = p.A @ (0.5 * s.h)
        return eg.ops.tanh(mixed + p.B @ x + p.v * s.h)

    params = Cell(step, 20, {"h": 20}, {"A": (20, 20), "B": (20, 20), "v": (20,)}).init(np.random.default_rng(0))
    assert_close(params["A"] @ params["A"].T, np.eye(20))
    assert np.linalg.norm(params["B"] @ params["B"].T - np.eye(20)) > 1
    assert not params["v"].any()


def test_the_same_seed_gives_the_same_numbers():
    net = Recurrent(LSTM(2, 3), 2, layers=2, embedding=(5, 2))
    one, two, other = net.init(0), net.init(0), net.init(np.random.default_rng(1))
    single = net.init(0, dtype="float32")
    assert list(one) == list(net.shapes)
    for name, shape in net.shapes.items():
        assert one[name].shape == shape
        assert one[name].dtype == np.float64
        np.testing.assert_array_equal(one[name], two[name])
        np.testing.assert_array_equal(single[name], one[name].astype(np.float32))
        assert single[name].dtype == np.float32
    assert (one["U_i_l0"] != other["U_i_l0"]).all()
    assert (one["U_i_l0"] != one["U_f_l0"]).all()
    with pytest.raises(InputError, match=r"^dtype must be float32 or float64"):
        net.init(0, dtype=int)
    with pytest.raises(UnknownNameError, match=r"^unknown initialiser"):
        net.init(0, scheme="xavier")


# ------------------------------------------------------------------------------- data that do not fit


def problems_of(net, params=None, **changes):
    data = {**data_for(net), **changes}
    with pytest.raises(InputError) as error:
        gradients(net, net.init(0) if params is None else params, **data)
    return str(error.value).splitlines()[1:]


def test_data_that_do_not_fit():
    net = Recurrent(GRU(IN, 3), outputs=2, read="each", lengths=True, initial=True)
    assert problems_of(net, x=np.ones((B, T + 1, IN)), h0=np.ones((B + 1, 3))) == [
        "  - data of different numbers of samples: 'x' has 3, 'y' has 3, 'lengths' has 3, 'h0' has 4",
        "  - data of different numbers of time steps: 'x' has 6, 'y' has 5",
    ]
    assert problems_of(net, x=np.ones((B, 0, IN)), lengths=np.asarray(3), h0=np.ones((0, 3))) == [
        "  - 'x' has no time step, shape (3, 0, 2): at least one is needed",
        "  - 'lengths' is a single number, expected one row per sample: lengths[None]",
        "  - 'h0' is an empty batch, shape (0, 3): at least one sample is needed",
    ]
    assert problems_of(net, x=np.ones(T)) == [
        "  - 'x' has shape (5,), expected (batch, time) first: x[None] for one sequence"
    ]
    assert problems_of(net, x=np.ones((B, T, IN), int)) == [
        "  - 'x' has dtype int64, 'U_r' has float64: use one dtype for all"
    ]
    assert problems_of(net, lengths=np.array([6, 0, 5]), y=np.full((B, T), 7)) == [
        "  - 'y': class labels must be in [0, 2) for 2 outputs, got 7 at index (0, 0)",
        "  - 'lengths': lengths must be from 1 to 5, the number of steps, got 6 at index 0",
    ]
    assert problems_of(net, lengths=LENGTHS[:, None].copy())[-1].startswith("  - ")


def test_a_sequence_without_its_features():
    lines = problems_of(Recurrent(Elman(IN, 3), 2), x=np.ones((B, T)))
    assert len(lines) == 1
    assert lines[0].endswith("'x' has shape (3, 5), expected (batch, time, features)")
    assert "'x' has dtype int64" in problems_of(Recurrent(Elman(IN, 3), 2), x=np.ones((B, T), int))[0]


def test_one_mistake_is_one_line():
    """Every quantity of the scan would find it."""
    net = Recurrent(LSTM(IN, 3), 2)
    assert len(problems_of(net, x=np.ones((B, T, IN + 1)))) == 1


def test_masks_and_tokens_that_do_not_fit():
    net = Recurrent(GRU(IN, 3), outputs=2, lengths="mask", embedding=(4, IN))
    assert problems_of(net, mask=MASK * 1) == [
        "  - 'mask': a mask must be boolean, True where a step counts; got dtype int64: mask.astype(bool)"
    ]
    assert problems_of(net, mask=MASK & (np.arange(B) != 1)[:, None]) == [
        "  - 'mask': sequence 1 has no step that counts: at least one is needed"
    ]
    tokens = np.zeros((B, T), int)
    tokens[2, 1], tokens[1, 3] = 4, -1  # the second stands in the padding
    assert problems_of(net, x=tokens) == [
        "  - 'x': tokens must be in [0, 4) for a table of 4 rows, got 4 at index (2, 1)"
    ]
    assert problems_of(net, x=tokens * 1.0) == [
        "  - 'x': tokens must be whole numbers, got dtype float64: tokens.astype(int)"
    ]
    assert "embedding: one whole number for each sample or step" in problems_of(net, x=tokens[..., None])[0]


def test_what_fitted_once_is_still_looked_at():
    net = Recurrent(GRU(IN, 3), outputs=2, read="each", lengths=True)
    params, data = net.init(0), data_for(net)
    loss = gradients(net, params, **data).loss
    assert "lengths must be from 1 to 5" in problems_of(net, params, lengths=LENGTHS + 1)[0]
    labels = np.where(MASK, data["y"], -1)
    assert gradients(net, params, **{**data, "y": labels}).loss == loss
    labels[0, 4] = 2
    assert problems_of(net, params, y=labels) == [
        "  - 'y': class labels must be in [0, 2) for 2 outputs, got 2 at index (0, 4)"
    ]
    assert problems_of(net, params, y=labels, lengths=LENGTHS[:2])[0].startswith("  - data of different numbers")
