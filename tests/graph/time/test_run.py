"""What a run keeps, how a cell is split, and the immediate Jacobians of one step."""

import numpy as np
import pytest

from everygrad.checks.tolerance import assert_close
from everygrad.errors import InputError
from everygrad.graph import ops
from everygrad.graph.time import cell, run
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
