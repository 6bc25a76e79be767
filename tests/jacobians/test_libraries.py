"""The same numbers, dtype and library in NumPy, torch and JAX, also compiled by JAX."""

import numpy as np
import pytest

from everygrad.checks.tolerance import assert_close
from everygrad.engines import kind_of, to_numpy
from everygrad.errors import InputError
from everygrad.jacobians import Dense, Diagonal, Identity, Row, Selection, Weight
from tests.jacobians import oracle
from tests.jacobians.cases import CASES, NAMES, Maker, common, fitting

DTYPES = {"float32": np.float32, "float64": np.float64, "complex128": np.complex128}


def torch_array(x):
    import torch

    return torch.tensor(np.asarray(x))


def jax_array(x):
    import jax.numpy as jnp

    return jnp.asarray(x)


@pytest.fixture
def x64():
    import jax

    with jax.enable_x64(True):
        yield


def vectors(case, dtype, seed=9):
    """g and v with the operator's own batch, and g as the oracle wants it."""
    m = Maker(dtype, seed=seed)
    return m.values((*case.J.batch, *case.J.out_shape)), m.values((*case.J.batch, *case.J.in_shape))


def flat(x, features):
    return x.reshape((*x.shape[: x.ndim - len(features)], -1))


def everything(J, g, v):
    """Every array that an operator gives, by name."""
    place = (-1,) * (len(J.out_shape) + len(J.in_shape))
    return {
        "dense": J.dense(),
        "push": J.push(v),
        "pull": J.pull(g),
        "pull total": J.pull(g, total=True),
        "element": J[place],
        "norm": J.norm(),
        "scaled": (2 * J).pull(g),
        "sum": (J + J).pull(g),
        "difference": (J - J).pull(g),
    }


def expected(case, g, v):
    J, A = case.J, case.A
    place = (..., *(-1,) * (len(J.out_shape) + len(J.in_shape)))
    push, pull = oracle.push(A, flat(v, J.in_shape)), oracle.pull(A, flat(g, J.out_shape))
    pull_shaped = pull.reshape((*pull.shape[:-1], *J.in_shape))
    return {
        "dense": case.full,
        "push": push.reshape((*push.shape[:-1], *J.out_shape)),
        "pull": pull_shaped,
        "pull total": oracle.pull_total(A, flat(g, J.out_shape)).reshape(J.in_shape),
        "element": case.full[place],
        "norm": oracle.norm(A),
        "scaled": 2 * pull_shaped,
        "sum": 2 * pull_shaped,
        "difference": 0 * pull_shaped,
    }


def compare(found, case, g, v, dtype, array_type):
    single = np.dtype(dtype) == np.float32
    for name, reference in expected(case, g, v).items():
        array = found[name]
        assert isinstance(array, array_type), name
        number = to_numpy(array)
        assert number.dtype == (np.float64 if name == "norm" and not single else dtype), name
        assert_close(number, reference, 1e-5 if single else 1e-13, name)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_numpy_keeps_the_dtype(name, dtype):
    case = CASES[name](Maker(DTYPES[dtype]))
    g, v = vectors(case, DTYPES[dtype])
    compare(everything(case.J, g, v), case, g, v, DTYPES[dtype], (np.ndarray, np.generic))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_torch(name, dtype):
    import torch

    maker = Maker(DTYPES[dtype], torch_array)
    case = CASES[name](maker)
    g, v = vectors(case, DTYPES[dtype])
    compare(everything(case.J, torch_array(g), torch_array(v)), case, g, v, DTYPES[dtype], torch.Tensor)
    for numbers, own in maker.made:
        np.testing.assert_array_equal(to_numpy(own), numbers)
    rows = case.J.sample((0,) * len(case.J.batch)).entries()
    assert all(type(x) is np.ndarray for x in rows)
    assert rows[2].dtype == DTYPES[dtype]
    assert len(rows[0]) == case.J.nnz


# One of each kind: JAX compiles every shape anew.
FEW = [
    "identity-3",
    "zero-3-4",
    "diagonal-(3,)-2x3",
    "dense-()-3-4",
    "dense-(3,)-2x3-4",
    "row-(3,)-4",
    "selection-repeats",
    "selection-2x3-3x2",
    "weight-(3,)-diagonal",
    "weight-(3,)-lazy",
    "sum-(3,)-shared-and-not",
    "product-(3,)-gather",
]


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_jax_compiled(name, dtype, x64):
    import jax

    plain = Maker(DTYPES[dtype])
    case = CASES[name](plain)
    g, v = vectors(case, DTYPES[dtype])

    @jax.jit
    def compiled(arrays, g, v):
        rest = iter(arrays)
        maker = Maker(DTYPES[dtype], lambda x: next(rest) if x.shape != (1,) or x[0] else jax_array(x))
        return everything(CASES[name](maker).J, g, v)

    found = compiled([jax_array(x) for x, _ in plain.made], jax_array(g), jax_array(v))
    compare(found, case, g, v, DTYPES[dtype], jax.Array)


@pytest.mark.parametrize("name", ["identity-2x3", "dense-(3,)-3-4", "selection-holes", "weight-(3,)-diagonal"])
def test_jax_eager(name, x64):
    import jax

    case = CASES[name](Maker(np.float64, jax_array))
    g, v = vectors(case, np.float64)
    compare(everything(case.J, jax_array(g), jax_array(v)), case, g, v, np.float64, jax.Array)
    assert type(case.J.sample((0,) * len(case.J.batch)).entries()[2]) is np.ndarray


@pytest.mark.parametrize("left", NAMES)
@pytest.mark.parametrize("right", NAMES)
def test_torch_pairs(left, right):
    m = Maker(np.float32, torch_array)
    outs, mid, ins = fitting(left, right)
    J, K = m.of(left, (3,), outs, mid), m.of(right, (3,), mid, ins)
    found, reference = to_numpy((J.J @ K.J).dense()), oracle.chain(J.A, K.A)
    assert found.dtype == np.float32
    if "Zero" in (left, right):
        reference = reference[(0,) * (reference.ndim - 2)]
    assert_close(found, reference.reshape(found.shape))
    outs, ins = common(left, right)
    J, K = m.of(left, (3,), outs, ins), m.of(right, (3,), outs, ins)
    found = to_numpy((J.J + K.J).dense())
    assert found.dtype == np.float32
    assert_close(found, oracle.total(J.A, K.A).reshape(found.shape))


@pytest.mark.parametrize("convert", [np.array, torch_array, jax_array])
def test_an_array_lets_the_operator_decide(convert, x64):
    A, g, v = convert(np.arange(6.0).reshape(2, 3)), convert(np.array([1.0, 2.0])), convert(np.array([1.0, 0.0, 1.0]))
    J = Dense(A)
    assert to_numpy(g @ J).tolist() == [6.0, 9.0, 12.0]
    assert to_numpy(J @ v).tolist() == [2.0, 8.0]
    scalar = convert(np.array(0.5))
    assert type(scalar * J) is type(J * scalar) is type(J / scalar) is Dense
    assert to_numpy((scalar * J).A).tolist() == [[0.0, 0.5, 1.0], [1.5, 2.0, 2.5]]
    assert to_numpy((J / scalar).A).tolist() == [[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]]
    for refused in (lambda: g + J, lambda: J + g, lambda: g - J, lambda: g * J, lambda: J * g, lambda: scalar / J):
        with pytest.raises(TypeError):
            refused()
    with pytest.raises(InputError):
        v @ J


@pytest.mark.parametrize("convert", [torch_array, jax_array])
def test_a_scalar_of_a_library_keeps_the_dtype(convert, x64):
    x = convert(np.ones(3, np.float32))
    for scalar in (convert(np.array(0.5)), np.array(0.5), convert(np.array(2))):
        scaled = Diagonal(x) * scalar
        assert to_numpy(scaled.d).dtype == np.float32
        assert to_numpy(scaled.d).tolist() == [float(scalar)] * 3
        assert type(scaled.d) is type(x)
    plain = Diagonal(np.ones(3, np.float32)) * convert(np.array(0.5))
    assert type(plain.d) is np.ndarray
    assert (plain.d.dtype, plain.d.tolist()) == (np.float32, [0.5] * 3)


def test_a_traced_scalar_may_scale(x64):
    import jax

    J, numpy_own = Diagonal(jax_array(np.ones(3, np.float32))), Diagonal(np.ones(3, np.float32))
    for operator in (J, numpy_own):
        found = jax.jit(lambda c, J=operator: (c * J).d)(0.5)
        assert found.dtype == np.float32
        assert found.tolist() == [0.5] * 3


def test_torch_gradients_pass_through():
    import torch

    c = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    d = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    (c * Diagonal(d)).pull(torch.ones(2, dtype=torch.float64)).sum().backward()
    assert c.grad.item() == 3.0
    assert d.grad.tolist() == [3.0, 3.0]


def test_a_read_only_index_serves_torch():
    index = np.broadcast_to(np.array([1]), (3,))
    J = Selection(kind_of(torch_array(np.zeros(1))), index, (2,))
    assert J.push(torch_array(np.array([5.0, 7.0]))).tolist() == [7.0] * 3


def test_real_operators_take_complex_vectors():
    m = Maker(np.float64)
    for case in (
        m.identity((3,)),
        m.zero((3,), (3,)),
        m.diagonal((), (3,)),
        m.selection([0, -1, 2], (3,)),
        m.row((), (3,)),
    ):
        g = m.values(case.J.out_shape) + 1j
        assert case.J.pull(g).dtype == np.complex128
        assert_close(case.J.pull(g), oracle.pull(case.A, g))
        v = m.values(case.J.in_shape) + 1j
        assert case.J.push(v).dtype == np.complex128
        assert_close(case.J.push(v), oracle.push(case.A, v))


def test_against_the_jacobians_of_torch():
    import torch

    rng = np.random.default_rng(3)
    W, x, c = (torch.tensor(rng.standard_normal(s)) for s in ((4, 3), (3,), (4,)))
    h = torch.tanh(W @ x)
    slope = 1 - h * h

    def loss_of(W):
        return c @ torch.tanh(W @ x)

    of_x, of_W = torch.func.jacrev(lambda x: torch.tanh(W @ x))(x), torch.func.jacrev(lambda W: torch.tanh(W @ x))(W)
    assert_close((Diagonal(slope) @ Dense(W)).dense(), of_x, 1e-12)
    T = Diagonal(slope) @ Weight(Identity(kind_of(x), (4,)), x)
    assert_close(T.dense(), of_W, 1e-12)
    assert_close((Row(c) @ T).pull(torch.ones(1, dtype=torch.float64)), torch.func.grad(loss_of)(W), 1e-12)
