"""Every method of every type against the definition."""

import itertools

import numpy as np
import pytest

from everygrad.checks.tolerance import assert_close
from everygrad.errors import UnsupportedError
from everygrad.jacobians import Identity, Jacobian, Zero
from tests.jacobians import oracle
from tests.jacobians.cases import CASES, MATRICES, Maker

LEADS = ("batch", (), "more")


@pytest.fixture(params=CASES)
def case(request):
    maker = Maker(seed=len(request.param))
    built = CASES[request.param](maker)
    yield built
    for numbers, own in maker.made:  # nothing was written to
        np.testing.assert_array_equal(own, numbers)


def has_no_transpose(J: Jacobian) -> bool:
    return type(J).__name__ in MATRICES or any(has_no_transpose(part) for part in getattr(J, "parts", ()))


def vector(case, features, lead, seed=1):
    lead = {"batch": case.J.batch, "more": (4, *case.J.batch)}.get(lead, lead)
    return np.asarray(np.random.default_rng(seed).standard_normal((*lead, *features)))


def flat(x, features):
    return x.reshape((*x.shape[: x.ndim - len(features)], -1))


def test_shapes(case):
    J, A = case.J, case.A
    assert J.batch == A.shape[:-2]
    assert (J.out_size, J.in_size) == A.shape[-2:]
    assert J.shape == (*J.batch, *J.out_shape, *J.in_shape)
    assert all(type(n) is int for n in J.shape)
    assert all(type(s) is tuple for s in (J.batch, J.out_shape, J.in_shape, J.shape))
    assert J.kind.dtype == np.float64
    assert J.kind.device == "cpu"


def test_dense(case):
    dense = case.J.dense()
    assert dense.shape == case.J.shape
    assert_close(dense, case.full)


@pytest.mark.parametrize("lead", LEADS)
def test_push(case, lead):
    v = vector(case, case.J.in_shape, lead)
    expected = oracle.push(case.A, flat(v, case.J.in_shape))
    expected = expected.reshape((*expected.shape[:-1], *case.J.out_shape))
    kept = v.copy()
    assert_close(case.J.push(v), expected)
    assert_close(case.J @ v, expected)
    np.testing.assert_array_equal(v, kept)


@pytest.mark.parametrize("lead", LEADS)
def test_pull(case, lead):
    g = vector(case, case.J.out_shape, lead)
    expected = oracle.pull(case.A, flat(g, case.J.out_shape))
    expected = expected.reshape((*expected.shape[:-1], *case.J.in_shape))
    kept = g.copy()
    assert_close(case.J.pull(g), expected)
    assert_close(g @ case.J, expected)
    np.testing.assert_array_equal(g, kept)


@pytest.mark.parametrize("lead", LEADS)
def test_pull_total(case, lead):
    g = vector(case, case.J.out_shape, lead)
    expected = oracle.pull_total(case.A, flat(g, case.J.out_shape)).reshape(case.J.in_shape)
    kept = g.copy()
    assert_close(case.J.pull(g, total=True), expected)
    np.testing.assert_array_equal(g, kept)


def test_leading_axes_of_both_broadcast():
    m = Maker()
    for build in (
        lambda: m.dense((3,), (2,), (4,)),
        lambda: m.diagonal((3,), (2,)),
        lambda: m.of("Weight", (3,), (2,), (2, 3)),
    ):
        case = build()
        g = m.values((5, 1, 2))
        expected = oracle.pull(case.A, g).reshape(5, 3, *case.J.in_shape)
        assert_close(case.J.pull(g), expected)
        assert_close(case.J.pull(g, total=True), expected.sum((0, 1)))


def test_every_index(case):
    J, full = case.J, case.full
    for place in itertools.product(*(range(n) for n in (*J.out_shape, *J.in_shape))):
        element = J[place]
        assert element.shape == J.batch
        assert isinstance(element, np.ndarray)
        assert_close(element, full[(..., *place)])
        for b in np.ndindex(J.batch):
            assert J[(*b, *place)].shape == ()
            assert_close(J[(*b, *place)], full[(*b, *place)])


def test_negative_indices(case):
    J, full = case.J, case.full
    last = (-1,) * (len(J.out_shape) + len(J.in_shape))
    assert_close(J[last], full[(..., *last)])
    everywhere = (-1,) * len(J.shape)
    assert_close(J[everywhere], full[everywhere])


def test_sample(case):
    J = case.J
    for b in np.ndindex(J.batch):
        one = J.sample(b)
        assert type(one) is type(J)
        assert one.batch == ()
        assert (one.out_shape, one.in_shape) == (J.out_shape, J.in_shape)
        assert_close(one.dense(), case.full[b])
        if len(b) == 1:
            assert_close(J.sample(b[0] - J.batch[0]).dense(), case.full[b])


def test_at_a_time(case):
    J = case.J
    if not J.batch:
        assert J.at(7) is J
    for t in range(-J.batch[0], J.batch[0]) if J.batch else ():
        there = J.at(t)
        assert type(there) is type(J)
        assert there.batch == J.batch[1:]
        assert (there.out_shape, there.in_shape) == (J.out_shape, J.in_shape)
        assert_close(there.dense(), case.full[t])


def test_entries_and_nnz(case):
    one = case.J.sample((0,) * len(case.J.batch))
    A = case.A[(0,) * len(case.J.batch)]
    p, q, value = one.entries()
    assert type(p) is type(q) is type(value) is np.ndarray
    assert p.shape == q.shape == value.shape == (one.nnz,)
    assert p.dtype.kind == q.dtype.kind == "i"
    assert value.dtype == np.float64
    assert len(set(zip(p.tolist(), q.tolist(), strict=True))) == len(p)
    rebuilt = np.zeros_like(A)
    for i, j, x in zip(p, q, value, strict=True):
        rebuilt[i, j] = x
    assert_close(rebuilt, A)
    assert type(case.J.nnz) is int
    assert case.J.nnz == np.count_nonzero(A)  # the numbers are drawn: none is zero by chance


def test_norm(case):
    norm = case.J.norm()
    assert norm.shape == case.J.batch
    assert_close(norm, oracle.norm(case.A))


def test_transpose(case):
    J = case.J
    if has_no_transpose(J):
        with pytest.raises(UnsupportedError, match="has no transpose of this family: use pull"):
            _ = J.T
        return
    T = J.T
    assert (T.out_shape, T.in_shape, T.batch) == (J.in_shape, J.out_shape, J.batch)
    assert_close(T.dense(), oracle.transpose(case.A).reshape(T.shape))
    assert_close(T.T.dense(), case.full)


def test_scalar_multiples(case):
    J, full = case.J, case.full
    for scaled, factor in ((2 * J, 2), (J * 0.3, 0.3), (J / 4, 0.25), (-J, -1), (np.float64(1.5) * J, 1.5)):
        assert (scaled.out_shape, scaled.in_shape) == (J.out_shape, J.in_shape)
        if type(scaled) is Zero:  # a product with a zero factor is the same, zero, for all samples
            assert_close(scaled.dense(), 0 * full[(0,) * len(J.batch)])
        else:
            assert_close(scaled.dense(), factor * full)


def test_sums_with_itself(case):
    J = case.J
    assert_close((J + J).dense(), 2 * case.full)
    assert_close((J - J).dense() + 0, 0 * case.full)
    assert_close((J - 3 * J).dense(), -2 * case.full)


def test_neutral_elements(case):
    J = case.J
    zero = Zero(J.kind, J.out_shape, J.in_shape)
    assert J + zero is (zero if type(J) is Zero else J)
    assert zero + J is J
    left, right = Maker().identity(J.out_shape).J, Maker().identity(J.in_shape).J
    assert left @ J is J
    if type(J) is Zero:
        assert (type(J @ right), (J @ right).shape) == (Zero, J.shape)
    else:
        assert J @ right is (right if type(J) is Identity else J)
    right = J @ Zero(J.kind, J.in_shape, (7,))
    left = Zero(J.kind, (7,), J.out_shape) @ J
    assert type(right) is type(left) is Zero
    assert (right.out_shape, right.in_shape) == (J.out_shape, (7,))
    assert (left.out_shape, left.in_shape) == ((7,), J.in_shape)


STORED = {
    "identity-3": 0,
    "zero-3-4": 0,
    "diagonal-(2, 3)-2x3": 36,
    "dense-(3,)-3-4": 36,
    "row-(2, 3)-4": 24,
    "selection-repeats": 6,
    "weight-(3,)-identity": 6,
    "weight-(2, 3)-diagonal": 30,
    "weight-(3,)-shared-h": 20,
    "mixture-(3,)-identity": 12,
    "mixture-(2, 3)-diagonal": 30,
    "sum-(3,)-shared-and-not": 18,
    "product-(3,)-gather": 21,
}


@pytest.mark.parametrize("name", STORED)
@pytest.mark.parametrize(("dtype", "size"), [(np.float64, 8), (np.float32, 4), (np.complex128, 16)])
def test_what_is_stored(name, dtype, size):
    J = CASES[name](Maker(dtype)).J
    assert J.stored == STORED[name]
    whole = 3 if name == "product-(3,)-gather" else 6 if "selection" in name else 0  # indices, of eight bytes each
    assert J.nbytes == (STORED[name] - whole) * size + whole * 8
