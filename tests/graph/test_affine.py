import numpy as np
import pytest

from everygrad.checks.tolerance import assert_close
from everygrad.graph.affine import Affine
from everygrad.graph.operation import ShapeProblem
from tests.graph.oracle import assert_local


def arrays(B=3, i=4, o=2, lead=(3,)):
    rng = np.random.default_rng(1)
    return rng.normal(size=(*lead, i)), rng.normal(size=(o, i)), rng.normal(size=o)


@pytest.mark.parametrize("lead", [(), (3,), (1,), (2, 3)], ids=str)
@pytest.mark.parametrize("sizes", [(4, 2), (1, 1), (1, 3), (3, 1)], ids=str)
def test_value_and_derivatives(lead, sizes):
    h, W, b = arrays(i=sizes[0], o=sizes[1], lead=lead)
    leads = [len(lead), 0, 0]
    assert_local(Affine(), [h, W, b], leads)
    assert_local(Affine(), [h, W], leads[:2])
    a = Affine().value([h, W, b], leads)
    for at in np.ndindex(lead):
        for p in range(sizes[1]):
            assert_close(a[(*at, p)], np.asarray(sum(W[p, q] * h[(*at, q)] for q in range(sizes[0])) + b[p]))


def test_the_derivative_with_respect_to_W_stores_only_h():
    h, W, b = arrays()
    a = Affine().value([h, W, b], [1, 0, 0])
    J = Affine().local(1, [h, W, b], a, [1, 0, 0])
    assert J.h is h
    assert J.stored == h.size
    assert Affine().local(0, [h, W, b], a, [1, 0, 0]).A is W
    assert type(Affine().local(2, [h, W, b], a, [1, 0, 0])).__name__ == "Identity"


def test_arguments_are_not_written_to_and_dtype_is_kept():
    h, W, b = (x.astype(np.float32) for x in arrays())
    before = [h.copy(), W.copy(), b.copy()]
    assert Affine().value([h, W, b], [1, 0, 0]).dtype == np.float32
    for x, copy in zip((h, W, b), before, strict=True):
        np.testing.assert_array_equal(x, copy)


def test_a_complex_bias_widens_the_value():
    h, W, b = arrays()
    a = Affine().value([h, W, b + 1j], [1, 0, 0])
    np.testing.assert_array_equal(a.imag, np.ones((3, 2)))


@pytest.mark.parametrize(
    ("shapes", "leads", "message"),
    [
        ([(3,), (2, 4)], [1, 0], "W has shape (2, 4), so h must have 4 features, has 3"),
        ([(4,), (2, 4), (3,)], [1, 0, 0], "W has shape (2, 4), so b must have shape (2,), has (3,)"),
        ([(4, 4), (2, 4)], [1, 0], "h must be a vector, has feature shape (4, 4)"),
        ([(), (2, 4)], [1, 0], "h must be a vector, has feature shape ()"),
        ([(4,), (4,)], [1, 0], "W must be a matrix (out, in), has shape (4,)"),
        ([(4,), (4,), (4,)], [1, 0, 0], "W must be a matrix (out, in), has shape (4,)"),
        ([(4,), (2, 4)], [1, 1], "W and b must be parameters, the same for all samples"),
        ([(4,), (2, 4), (2,)], [1, 0, 1], "W and b must be parameters, the same for all samples"),
        (
            [(3,), (2, 4), (3,)],
            [1, 1, 0],
            "W and b must be parameters, the same for all samples; W has shape (2, 4), so h must have 4 features, "
            "has 3; W has shape (2, 4), so b must have shape (2,), has (3,)",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_all_named(shapes, leads, message):
    with pytest.raises(ShapeProblem) as error:
        Affine().shape(shapes, leads)
    assert str(error.value) == "affine W h + b: " + message


@pytest.mark.parametrize(("W", "shape"), [((2, 4), (2,)), ((4,), None), ((2, 4, 4), None)])
def test_the_shape_that_the_output_would_have_is_told_if_W_tells_it(W, shape):
    with pytest.raises(ShapeProblem) as error:
        Affine().shape([(3,), W], [1, 0])
    assert error.value.shape == shape


def test_formulas():
    op = Affine()
    assert op.formula("h1", "W2", "b2") == "W2 h1 + b2"
    assert op.formula("h1", "W2") == "W2 h1"
    assert [op.local_formula(s, "h1", "W2", "b2") for s in range(3)] == ["W2", "I ⊗ h1ᵀ", "I"]
    assert op.name == "affine"
    assert op.shows_nonfinite is True
    assert op.keeps_finite is False
