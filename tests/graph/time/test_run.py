"""What a run keeps, how a cell is split, and the immediate Jacobians of one step."""

import numpy as np
import pytest

import everygrad as eg
from everygrad.checks.tolerance import EXACT, assert_close
from everygrad.errors import InputError
from everygrad.graph import ops
from everygrad.graph.time import cell, run, sweep
from everygrad.graph.time.phases import Packed, phases
from tests.graph.time.cells import arrays, elman, lstm, odd


def test_before_loop_and_after_of_an_lstm() -> None:
    todo = phases(lstm())
    products = [t for t in todo.before if isinstance(t, Packed)]
    assert [p.weights for p in products] == [("U_i", "U_f", "U_g", "U_o")]
    packed, *single = todo.loop
    assert isinstance(packed, Packed)
    assert packed.weights == ("W_i", "W_f", "W_g", "W_o")
    assert packed.vector == "h_prev"
    names = [t.name for t in single]
    assert {"a_i", "a_f", "a_g", "a_o", "i", "f", "g", "o", "c", "h"} < set(names)
    assert not any("b_" in name for t in single for name in t.inputs)  # biases are added before the loop
    assert todo.after == ()


def test_before_loop_and_after_of_an_odd_cell() -> None:
    made = odd()
    todo = phases(made)
    named = {
        part: {t.name for t in getattr(todo, part) if not isinstance(t, Packed)} for part in ("before", "loop", "after")
    }
    assert {"rate", "free"} <= named["before"]
    assert {"mixed", "score", "a", "s", "delayed", "twice"} <= named["loop"]
    assert "watched" in named["after"]
    assert set(made.quantities) == {"free", "mixed", "score", "a", "watched", "s", "delayed", "twice"}


def test_what_an_lstm_keeps_of_each_step() -> None:
    """Four pre-activations, four gates, tanh c, and each state (the previous ones are the same, a step later)."""
    made = lstm()
    ran = run(made, **arrays(made, steps=7, batch=3, inputs=2, units=5))
    assert ran.stored == 7 * 3 * 5 * (4 + 4 + 1 + 2) + 2 * 3 * 5


def test_what_an_elman_cell_keeps_of_each_step() -> None:
    made = elman()
    ran = run(made, **arrays(made, steps=7, batch=3, inputs=2, units=5))
    assert ran.stored == 7 * 3 * 5 * 2 + 3 * 5


@pytest.mark.parametrize("wrt", ["h_prev", "c_prev", "x", "W_f", "U_o", "b_i", "a_g"])
@pytest.mark.parametrize("of", ["h", "c", "i"])
def test_immediate_jacobians_are_those_of_the_complex_step(of: str, wrt: str) -> None:
    made = lstm()
    given = arrays(made, steps=3, batch=2, inputs=2, units=3)
    ran = run(made, **given)
    J = ran.jacobian(of, wrt)
    dense = np.broadcast_to(J.dense(), (3, 2, *J.out_shape, *J.in_shape))
    for t, b in np.ndindex(3, 2):
        now = {"x": given["x"][t, b][None], **given["parameters"]}
        now |= {previous: ran.values[previous][t, b][None] for _, previous in made.states}
        expected = np.empty((*J.out_shape, *J.in_shape))
        for index in np.ndindex(J.in_shape):
            values: dict = {}
            for node in made.graph.nodes:
                if node.operation is None:
                    values[node.name] = np.asarray(now[node.name], complex)
                else:
                    values[node.name] = node.operation.value([values[i] for i in node.inputs], node.leads)
                if node.name == wrt:
                    where = index if node.role == "parameter" else (0, *index)
                    values[node.name] = values[node.name].copy()
                    values[node.name][where] += 1e-30j
            expected[(slice(None), *index)] = values[of][0].imag / 1e-30
        assert_close(dense[t, b], expected, name=f"d{of}/d{wrt} at {t}")


def test_bad_cells_and_arguments_are_refused() -> None:
    with pytest.raises(InputError, match="returned 1 states, expected 2"):
        cell(lambda x, s, p: s.h, ("h", "c"))
    with pytest.raises(InputError, match=r"returned the states \['q'\], expected \['h'\]"):
        cell(lambda x, s, p: {"q": s.h})
    with pytest.raises(InputError, match="no state is named 'z': the cell was given h"):
        cell(lambda x, s, p: s.z)
    with pytest.raises(InputError, match="different names"):
        cell(lambda x, s, p: s.h, ())
    with pytest.raises(InputError, match="mixes the samples of a batch"):
        cell(lambda x, s, p: s.h * ops.squared_error(s.h, x))
    with pytest.raises(InputError, match=r"returns its states \(symbols\)"):
        cell(lambda x, s, p: 3.0)
    with pytest.raises(InputError, match="taken by name"):
        cell(lambda x, s, p: next(iter(p)))
    with pytest.raises(InputError, match="'b' is a state or the input of the cell: give the parameter another name"):
        cell(lambda x, s, p: (s.a + p.b, s.b), ("a", "b"))
    made = elman()
    given = arrays(made, steps=2, batch=1, inputs=1, units=1)
    with pytest.raises(InputError, match="at least one step"):
        run(made, given["x"][:0], given["states"], given["parameters"])
    with pytest.raises(InputError, match="the initial state 'h' is missing"):
        run(made, given["x"], {}, given["parameters"])
    with pytest.raises(InputError, match="the parameter 'W' is missing"):
        run(made, given["x"], given["states"], {k: v for k, v in given["parameters"].items() if k != "W"})


@pytest.mark.parametrize(("batch", "steps"), [(4, 4), (4, 5), (4, 1), (1, 3)])
def test_a_quantity_of_one_number_under_a_mask(batch: int, steps: int) -> None:
    """It has no axis of units: what is masked must not be taken for one."""

    def step(x, s, p):
        k = ops.dot(s.h, p.v).named("k")
        return ops.tanh(p.W @ s.h + p.U @ x) * k

    rng = np.random.default_rng(steps)
    cell = eg.Cell(step, 2, {"h": 3}, {"W": (3, 3), "U": (3, 2), "v": (3,)})
    params = {name: rng.normal(size=shape) for name, shape in cell.shapes.items()}
    x, h = rng.normal(size=(steps, batch, 2)), rng.normal(size=(batch, 3))
    lengths = rng.integers(1, steps + 1, batch)
    mask = np.arange(steps)[:, None] < lengths
    arriving = rng.normal(size=(steps, batch))
    ran = run(cell.cell, x, {"h": h}, params, mask)
    swept = sweep(ran, {"k": arriving}, {})
    assert swept.total["k"].shape == (steps, batch)
    for b, n in enumerate(lengths):
        alone = run(cell.cell, x[:n, b : b + 1], {"h": h[b : b + 1]}, params)
        expected = sweep(alone, {"k": arriving[:n, b : b + 1]}, {})
        assert_close(ran.values["k"][:n, b : b + 1], alone.values["k"], EXACT)
        assert_close(swept.total["k"][:n, b : b + 1], expected.total["k"], EXACT)
        assert not swept.total["k"][n:, b].any()
        assert_close(swept.initial["h"][b : b + 1], expected.initial["h"], EXACT)


def test_a_network_with_such_a_quantity_and_lengths() -> None:
    def step(x, s, p):
        return ops.tanh(p.W @ s.h + p.U @ x) * ops.dot(s.h, p.v).named("k")

    net = eg.Recurrent(eg.Cell(step, 2, {"h": 3}, {"W": (3, 3), "U": (3, 2), "v": (3,)}), 2, lengths=True)
    rng = np.random.default_rng(0)
    for steps in (4, 5, 1):
        g = eg.gradients(net, net.init(0), rng.normal(size=(4, steps, 2)), rng.integers(0, 2, 4), np.full(4, steps))
        assert g.trace["k"].shape == g["k"].shape == (4, steps)
