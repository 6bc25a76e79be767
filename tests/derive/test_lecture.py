"""The lecture's own questions, against plain loops from the definition."""

import math
import re

import numpy as np
import pytest

import everygrad as eg
from everygrad.checks.tolerance import assert_close
from everygrad.derive import Derivation
from everygrad.derive.text import inline
from everygrad.through_time import tensor
from tests.derive.graphs import LECTURE
from tests.derive.reading import as_array, as_number, said, tables

K = 5
NET = eg.FeedForward([3, 4, 4, K], activation="tanh")
RNG = np.random.default_rng(11)
PARAMS = {name: RNG.normal(size=shape) for name, shape in NET.shapes.items()}
X, Y = RNG.normal(size=(1, 3)), np.array([3])


def loops() -> dict[str, list[float]]:
    """The forward and backward pass, one number at a time."""
    h = [float(v) for v in X[0]]
    found: dict[str, list[float]] = {"h0": h}
    for i in (1, 2, 3):
        W, b = PARAMS[f"W{i}"], PARAMS[f"b{i}"]
        a = [sum(W[m, j] * h[j] for j in range(len(h))) + b[m] for m in range(len(b))]
        found[f"a{i}"] = a
        h = [math.tanh(v) for v in a]
        found[f"h{i}"] = h
    total = sum(math.exp(v) for v in found["a3"])
    g = [math.exp(v) / total - (m == Y[0]) for m, v in enumerate(found["a3"])]
    found["∂a3"] = g
    found["∂h2"] = [sum(g[m] * PARAMS["W3"][m, j] for m in range(K)) for j in range(4)]
    found["∂a2"] = [found["∂h2"][j] * (1 - math.tanh(found["a2"][j]) ** 2) for j in range(4)]
    return found


def part(d: Derivation, title: str) -> str:
    text = d.to_text()
    match = re.search(rf"\n\d+\. {re.escape(title)}.*?(?=\n\d+\. |\nCheck)", text, re.DOTALL)
    assert match is not None, text
    return match.group()


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_a_unit_with_k_output_units_as_a_sum_of_k_terms():
    """∂L/∂h_{2,2}: k terms, the inner product with column 2 of W, and the matrix form Wᵀ∇."""
    d = eg.derive(NET, "h2[2]", PARAMS, X, Y)
    oracle = loops()
    chain = squeezed(part(d, "The chain rule"))
    assert "∂L/∂h2[2] = Σ_m ∂L/∂a3[m] · ∂a3[m]/∂h2[2]" in chain
    for m in range(K):
        assert f"∂L/∂a3[{m}] · ∂a3[{m}]/∂h2[2]" in chain
    ((_, rows),) = tables(d, "Each factor")
    assert len(rows) == K + 1
    for m, (u, g, factor, product) in enumerate(rows[:-1]):
        assert u == f"a3[{m}]"
        assert as_number(g) == pytest.approx(oracle["∂a3"][m], rel=1e-5)
        assert as_number(factor) == pytest.approx(PARAMS["W3"][m, 2], rel=1e-5)
        assert as_number(product) == pytest.approx(oracle["∂a3"][m] * PARAMS["W3"][m, 2], rel=1e-5)
    assert as_number(rows[-1][-1]) == pytest.approx(oracle["∂h2"][2], rel=1e-5)
    element = squeezed(part(d, "Collected, one element"))
    assert "Σ_m ∂L/∂a3[m] · W3[m,2]" in element
    assert "W3[:,2], the column of W3 that multiplies h2[2]" in element
    assert "∂L/∂h2[2] = W3[:,2]ᵀ ∂L/∂a3" in element
    vector = squeezed(part(d, "Collected, the vector"))
    assert "The columns of W3 are the rows of W3ᵀ" in vector
    assert f"(4 × {K})({K}) → (4)" in vector
    assert "∂L/∂h2 = W3ᵀ ∂L/∂a3" in vector
    assert "rows(∂L/∂h2) = rows(∂L/∂a3) W3" in part(d, "The matrix of all samples")
    assert_close(d.value, oracle["∂h2"][2])
    assert_close(d.oracle, oracle["∂h2"][2])


def test_the_order_is_that_of_the_lecture():
    titles = [p.title for p in eg.derive(NET, "h2[2]", PARAMS, X, Y).parts]
    assert titles == [
        "What is asked, and its shape",
        "Who consumes it: the paths",
        "The chain rule, one term for each consumer",
        "The gradients of the consumers, from the loss backwards",
        "Each factor: its formula and its value",
        "Collected, one element",
        "Collected, the vector, and the numbers put in",
        "The matrix of all samples",
        "The result",
    ]


def test_a_preactivation_as_an_elementwise_product():
    d = eg.derive(NET, "a2[1]", PARAMS, X, Y)
    oracle = loops()
    assert "∂L/∂a2[1] = ∂L/∂h2[1] · (1 - h2[1]^2)" in squeezed(part(d, "Collected, one element"))
    vector = squeezed(part(d, "Collected, the vector"))
    assert "∂L/∂a2 = ∂L/∂h2 ⊙ (1 - h2^2)" in vector
    assert "element by element" in vector
    whole = next(line for line in said(d) if line.left == "∂L/∂a2")
    np.testing.assert_allclose(whole.value, oracle["∂a2"], rtol=1e-5)
    assert_close(d.value, oracle["∂a2"][1])


def test_the_gradient_at_the_output():
    d = eg.derive(NET, "a3", PARAMS, X, Y)
    assert "∂L/∂a3 = softmax(a3) - e_y" in squeezed(d.to_text())
    assert_close(d.value, np.array(loops()["∂a3"]))


def test_the_toy_formula():
    """z = log(x²·x³) at x = 2: two paths, 1 and 1.5, the sum 5/x."""
    d = eg.derive(LECTURE, "x", x=2.0)
    text = squeezed(d.to_text())
    assert "∂z/∂x = ∂z/∂y1 · ∂y1/∂x + ∂z/∂y2 · ∂y2/∂x" in text
    assert "∂z/∂y1 = 1/y1 = 1/4 = 0.25" in text
    ((_, rows),) = tables(d, "Each factor")
    assert [row[-1] for row in rows] == ["1", "1.5", "2.5"]
    assert d.value == 2.5


# ------------------------------------------------------------------------------- through time

CELL = eg.Recurrent(eg.Elman(2, 3), 2, "each")
WEIGHTS = {name: RNG.normal(size=shape) for name, shape in CELL.shapes.items()}
XS, YS = RNG.normal(size=(1, 4, 2)), RNG.integers(0, 2, (1, 4))


def states() -> list[list[float]]:
    found, s = [[0.0] * 3], [0.0] * 3
    for x in XS[0]:
        a = [
            sum(WEIGHTS["U"][p, i] * x[i] for i in range(2))
            + WEIGHTS["b"][p]
            + sum(WEIGHTS["W"][p, r] * s[r] for r in range(3))
            for p in range(3)
        ]
        s = [math.tanh(v) for v in a]
        found.append(s)
    return found


def test_the_tensor_and_all_shapes_of_the_recurrent_formula():
    """∂⁺s_k[p]/∂W[q,r] = g′(a_k[p]) s_{k−1}[r] if p = q, else 0; (1×d)(d×d)(d×d×d) → d×d."""
    d = eg.derive(CELL, "W[1,2]", WEIGHTS, XS, YS)
    time = squeezed(part(d, "Through time"))
    assert "∂L_t/∂W = Σ_(k=0..t) ∂L_t/∂s[t] · ∂s[t]/∂s[k] · ∂⁺s[k]/∂W" in time
    (_, rows), *_ = tables(d, "Through time")
    shapes = {row[0]: row[1] for row in rows}
    assert shapes["∂L_t/∂s[t]"] == "1 × 3"
    assert shapes["∂s[t]/∂s[k]"] == "3 × 3"
    assert shapes["∂⁺s[k]/∂W"] == "3 × 3 × 3"
    assert shapes["∂L_t/∂W"] == "3 × 3"
    expected = {"h[k]": "3", "a[k]": "3", "x[k]": "2", "U": "3 × 2", "W": "3 × 3", "b": "3"}
    assert {name: shapes[name] for name in expected} == expected
    assert "∂h[k]/∂h[k-1] = diag(1 - h[k]^2) W" in squeezed(part(d, "The Jacobian product"))
    rule = squeezed(part(d, "The sparse tensor: p = q"))
    assert "∂⁺h[k,p]/∂W[1,2] = ((1 - h[k,p]^2) · h[k-1,2] if p = 1, else 0)" in rule
    assert "3 × 3 × 3 = 27 entries; 9 can be nonzero" in rule
    assert "known from 6 numbers" in rule


def test_the_worked_example_of_the_tensor():
    """All 27 numbers of the last step, by plain loops."""
    d = eg.derive(CELL, "W", WEIGHTS, XS, YS)
    s = states()
    slices = {line.left: line.value for line in said(d) if line.left.startswith("∂⁺")}
    assert sorted(slices) == [f"∂⁺h[3,{p}]/∂W" for p in range(3)]
    for p in range(3):
        for q in range(3):
            for r in range(3):
                immediate = (1 - s[4][p] ** 2) * s[3][r] if p == q else 0.0
                assert slices[f"∂⁺h[3,{p}]/∂W"][q][r] == pytest.approx(immediate, rel=1e-5)


def test_the_jacobian_product_by_loops():
    d = eg.derive(CELL, "W", WEIGHTS, XS, YS)
    s, W = states(), WEIGHTS["W"]

    def J(k: int) -> np.ndarray:
        return np.array([[(1 - s[k + 1][p] ** 2) * W[p, q] for q in range(3)] for p in range(3)])

    printed = {line.left: line.value for line in said(d) if line.left.startswith("∂s[")}
    np.testing.assert_allclose(printed["∂s[3]/∂s[2]"], J(3), rtol=1e-5)
    np.testing.assert_allclose(printed["∂s[2]/∂s[1]"], J(2), rtol=1e-5)
    product = [[sum(J(3)[p, i] * J(2)[i, q] for i in range(3)) for q in range(3)] for p in range(3)]
    np.testing.assert_allclose(printed["∂s[3]/∂s[1]"], product, rtol=1e-5)


def test_the_derivative_of_a_state_by_a_weight():
    """∂s_t[p]/∂W[q,r] in total: of= another number than the loss; the immediate part is beside it."""
    d = eg.derive(CELL, "W[1,2]", WEIGHTS, XS, YS, of="h[3,0]")
    unrolled = eg.unroll(CELL, WEIGHTS, XS, YS)
    step = 1e-30
    s = [0j] * 3
    W = WEIGHTS["W"].astype(complex)
    W[1, 2] += 1j * step
    for x in XS[0]:
        s = list(np.tanh(WEIGHTS["U"] @ x + WEIGHTS["b"] + W @ np.array(s)))
    assert_close(d.value, s[0].imag / step)
    assert "h[3]" in unrolled.graph.by_name
    assert d.title == "∂h[3,0]/∂W[1,2]"
    assert "The sparse tensor: p = q" in [p.title for p in d.parts]


def test_direct_and_total():
    d = eg.derive(CELL, "h[1,2]", WEIGHTS, XS, YS)
    g = eg.gradients(CELL, WEIGHTS, XS, YS)
    ((_, rows),) = tables(d, "Direct and total")
    direct, later, total = (as_array(cell) for _, cell in rows)
    np.testing.assert_allclose(direct, g.direct["h"][0, 1], rtol=1e-5)
    np.testing.assert_allclose(total, g["h"][0, 1], rtol=1e-5)
    np.testing.assert_allclose(direct + later, total, rtol=1e-4)


def test_gated_cells_have_their_own_tensor():
    net = eg.Recurrent(eg.LSTM(2, 3), 2)
    d = eg.derive(net, "W_f[1,2]")
    rule = squeezed(part(d, "The sparse tensor: p = q"))
    assert "∂⁺c[k,p]/∂W_f[1,2] = (c[k-1,p] · f[k,p] · (1 - f[k,p]) · h[k-1,2] if p = 1, else 0)" in rule
    product = squeezed(part(d, "The Jacobian product"))
    assert "∂c[k]/∂c[k-1] = diag(f[k])" in product


def test_a_dense_tensor_is_not_said_to_be_diagonal():
    """With the reset gate before the product W_r acts through W_n: M is dense, and there is no rule p = q."""
    d = eg.derive(eg.Recurrent(eg.GRU(2, 3, reset="before"), 2), "W_r[0,1]")
    text = part(d, "The sparse tensor")
    assert "zero unless p = q" not in text
    slices = {line.left: line.value for line in said(d) if line.left.startswith("∂⁺")}
    assert all(np.count_nonzero(value) > 3 for value in slices.values())
    assert len(slices) == 3


def test_all_equations_and_shapes_of_a_network():
    """\"Tell me the dimensions of these quantities\"."""
    d = eg.derive(NET, params=PARAMS)
    (_, rows), *_ = tables(d, "The quantities and their shapes")
    shapes = {row[0]: (row[2], row[3]) for row in rows}
    trace = eg.forward(NET, PARAMS, X, Y)
    for name, (shape, gradient) in shapes.items():
        node = trace.graph.by_name[{"L": "loss"}.get(name, name)]
        own = trace[node.name].shape[node.lead :]
        expected = " × ".join(map(str, own)) or "a number"
        assert shape == expected
        assert gradient == ("none" if name == "y" else expected)
    text = squeezed(d.to_text())
    for i in (1, 2, 3):
        assert f"a{i} = W{i} h{i - 1} + b{i}" in text
        assert f"∂L/∂W{i} = ∂L/∂a{i} h{i - 1}ᵀ" in text
        assert f"∂L/∂b{i} = ∂L/∂a{i}" in text
        assert f"∂L/∂h{i - 1} = W{i}ᵀ ∂L/∂a{i}" in text
    assert set(d.value) == {*PARAMS, "h0", "a1", "h1", "a2", "h2", "a3"}
    (_, jacobians), *_ = tables(d, "The Jacobians between neighbours")
    found = {row[0]: row[1] for row in jacobians}
    assert found["∂a2/∂W2"] == "4 × 4 × 4"
    assert found["∂a3/∂h2"] == "5 × 4"
    assert "Check" in d.to_text().splitlines()[-1]


def test_the_tensor_is_the_analysis_of_time():
    T = tensor(CELL, WEIGHTS, XS, YS, wrt="W")
    d = eg.derive(CELL, "W", WEIGHTS, XS, YS)
    shown = np.array([line.value for line in said(d) if line.left.startswith("∂⁺")])
    np.testing.assert_allclose(shown, np.asarray(T.dense(3))[0], rtol=1e-5)


def test_the_question_as_a_formula():
    d = eg.derive(NET, "h2[2]", PARAMS, X, Y)
    assert d.question is not None
    assert inline(d.question) == d.title == "∂L/∂h2[2]"
