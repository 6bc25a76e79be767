import numpy as np
import pytest

from everygrad.graph.arrange import Concatenate, Dot, Flatten, Select, Sum, Transpose
from everygrad.graph.operation import ShapeProblem
from tests.graph.oracle import assert_local

rng = np.random.default_rng(2)
h = rng.normal(size=(3, 5))


@pytest.mark.parametrize(
    ("op", "key"),
    [
        (Select((2,), scalar=True), 2),
        (Select((-1,), scalar=True), 4),
        (Select((0, 3)), [0, 3]),
        (Select((3, 0, 3)), [3, 0, 3]),
        (Select((-5, -1)), [0, 4]),
        (Select(part=(1, 4, None)), slice(1, 4)),
        (Select(part=(None, None, -1)), slice(None, None, -1)),
        (Select(part=(None, None, 2)), slice(None, None, 2)),
        (Select(part=(-2, None, None)), slice(-2, None)),
    ],
)
def test_select(op, key):
    assert_local(op, [h], [1])
    assert_local(op, [h[0]], [0])
    np.testing.assert_array_equal(op.value([h], [1]), h[:, key])
    np.testing.assert_array_equal(Select(**op.attributes).value([h], [1]), h[:, key])


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (Select((5,)), "select: (5,) does not fit a vector of 5 components"),
        (Select((-6,)), "select: (-6,) does not fit a vector of 5 components"),
        (Select((0, 7)), "select: (0, 7) does not fit a vector of 5 components"),
        (Select(part=(3, 3, None)), "select: slice(3, 3, None) does not fit a vector of 5 components"),
        (Select(()), "select: () does not fit a vector of 5 components"),
    ],
)
def test_select_outside(op, message):
    with pytest.raises(ShapeProblem) as error:
        op.shape([(5,)], [1])
    assert str(error.value) == message


@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_select_acts_on_vectors(shape):
    with pytest.raises(ShapeProblem) as error:
        Select((0,)).shape([shape], [1])
    assert str(error.value) == f"select acts on vectors, got feature shape {shape}"


def test_select_formulas():
    texts = [Select((2,), scalar=True), Select((0, 3)), Select(part=(1, 4, None)), Select(part=(None, None, -1))]
    assert [op.formula("h") for op in texts] == ["h[2]", "h[[0, 3]]", "h[1:4]", "h[::-1]"]
    assert [op.local_formula(0, "h") for op in texts] == ["I[2]", "I[[0, 3]]", "I[1:4]", "I[::-1]"]
    assert Select(part=(None, None, None)).formula("h") == "h[:]"
    assert dict(Select((1,)).attributes) == {"indices": [1], "scalar": False}
    assert dict(Select(part=(1, None, None)).attributes) == {"part": [1, None, None]}


@pytest.mark.parametrize(
    ("shapes", "leads"),
    [
        ([(3, 2), (3, 4)], [1, 1]),
        ([(3, 2), (3,), (3, 1)], [1, 1, 1]),
        ([(3, 2), (4,)], [1, 0]),
        ([(4,), (3, 2)], [0, 1]),
        ([(2,), (), (1,)], [0, 0, 0]),
        ([(3, 2)], [1]),
        ([(2, 3, 2), (2, 3)], [2, 2]),
    ],
    ids=str,
)
def test_concatenate(shapes, leads):
    xs = [rng.normal(size=s) for s in shapes]
    assert_local(Concatenate(), xs, leads)
    y = Concatenate().value(xs, leads)
    samples = y.shape[:-1]
    for b in np.ndindex(samples):
        parts = [np.atleast_1d(x[b] if lead else x) for x, lead in zip(xs, leads, strict=True)]
        np.testing.assert_array_equal(y[b], [v for part in parts for v in part.tolist()])


def test_concatenate_is_a_selection_with_minus_one_where_another_part_is():
    u, v = rng.normal(size=(3, 2)), rng.normal(size=(3, 1))
    y = Concatenate().value([u, v], [1, 1])
    assert Concatenate().local(0, [u, v], y, [1, 1]).index.tolist() == [0, 1, -1]
    assert Concatenate().local(1, [u, v], y, [1, 1]).index.tolist() == [-1, -1, 0]


def test_concatenate_drops_no_part_in_silence():
    u = rng.normal(size=(3, 2))
    for leads in ([1], [1, 1, 1]):
        with pytest.raises(ValueError, match=r"zip\(\)"):
            Concatenate().value([u, u], leads)
        with pytest.raises(ValueError, match=r"zip\(\)"):
            Concatenate().local(0, [u, u], u, leads)


def test_concatenate_refuses_matrices_and_has_formulas():
    with pytest.raises(ShapeProblem) as error:
        Concatenate().shape([(2, 3), (2,)], [0, 0])
    assert str(error.value) == "concatenate joins vectors, got feature shapes [(2, 3), (2,)]"
    assert Concatenate().formula("u", "v", "w") == "[u; v; w]"
    assert Concatenate().local_formula(1, "u", "v", "w") == "[0; I; 0]"


def test_flatten_and_transpose():
    X = rng.normal(size=(3, 2, 4))
    assert_local(Flatten(), [X], [1])
    assert_local(Flatten(), [X], [0])
    assert_local(Flatten(), [h], [1])
    assert_local(Transpose(), [X[0]], [0])
    assert_local(Transpose(), [X], [1])
    np.testing.assert_array_equal(Flatten().value([X], [1]), [[v for row in x for v in row] for x in X])
    y = Transpose().value([X[0]], [0])
    assert all(y[j, i] == X[0][i, j] for i in range(2) for j in range(4))
    with pytest.raises(ShapeProblem) as error:
        Transpose().shape([(3,)], [1])
    assert str(error.value) == "transpose acts on matrices, got feature shape (3,)"
    assert (Flatten().formula("x"), Flatten().local_formula(0, "x")) == ("vec(x)", "I")
    assert (Transpose().formula("W"), Transpose().local_formula(0, "W")) == ("Wᵀ", "K")


@pytest.mark.parametrize(("x", "lead"), [(h, 1), (h, 0), (h[0], 0), (h[:, 0].copy(), 1), (h.reshape(3, 5, 1), 2)])
def test_sum(x, lead):
    assert_local(Sum(), [x], [lead])
    y = np.asarray(Sum().value([x], [lead]))
    for b in np.ndindex(x.shape[:lead]):
        assert y[b] == pytest.approx(sum(np.ravel(x[b]).tolist()), rel=1e-14)


@pytest.mark.parametrize(("lead_u", "lead_v"), [(1, 1), (1, 0), (0, 1), (0, 0)])
def test_dot(lead_u, lead_v):
    u = h if lead_u else h[0]
    v = h[::-1].copy() if lead_v else h[1]
    assert_local(Dot(), [u, v], [lead_u, lead_v])
    y = np.asarray(Dot().value([u, v], [lead_u, lead_v]))
    for b in np.ndindex(y.shape):
        pairs = zip(u[b] if lead_u else u, v[b] if lead_v else v, strict=True)
        assert y[b] == pytest.approx(sum(p * q for p, q in pairs), rel=1e-13)


@pytest.mark.parametrize("shapes", [[(3,), (4,)], [(), ()], [(2, 2), (2, 2)], [(1,), (3,)]])
def test_dot_needs_equal_vectors(shapes):
    with pytest.raises(ShapeProblem) as error:
        Dot().shape(shapes, [1, 1])
    assert str(error.value) == f"dot needs two vectors of equal length, got feature shapes {shapes[0]} and {shapes[1]}"


def test_formulas_and_flags():
    assert (Sum().formula("h"), Sum().local_formula(0, "h")) == ("sum(h)", "1ᵀ")
    assert Dot().formula("u", "v") == "uᵀ v"
    assert [Dot().local_formula(s, "u", "v") for s in (0, 1)] == ["vᵀ", "uᵀ"]
    assert all(op.keeps_finite for op in (Select((0,)), Concatenate(), Flatten(), Transpose()))
    assert not any(op.shows_nonfinite for op in (Select((0,)), Concatenate(), Flatten(), Transpose()))
    assert all(op.shows_nonfinite and not op.keeps_finite for op in (Sum(), Dot()))
