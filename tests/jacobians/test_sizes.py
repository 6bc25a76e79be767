"""Nothing large is formed unless it is asked for: counts, bytes, memory and the number of matrix products."""

import re
import tracemalloc
from typing import ClassVar

import numpy as np
import pytest

from everygrad.checks.tolerance import assert_close
from everygrad.engines import kind_of
from everygrad.errors import TooLargeError
from everygrad.jacobians import DENSE_LIMIT, Dense, Diagonal, Identity, Product, Row, Selection, Sum, Weight, Zero, lazy
from tests.jacobians import oracle
from tests.jacobians.cases import CASES, Maker

KIND = kind_of(np.zeros(1))


def peak(work):
    """(the result, the most bytes held by ``work`` beyond what was there before)."""
    tracemalloc.start()
    try:
        result = work()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("dtype", "size"), [(np.float64, 8), (np.float32, 4)])
def test_the_tensor_of_1024_units_is_two_vectors(dtype, size):
    d = 1024
    T = Weight(Diagonal(np.ones(d, dtype)), np.ones(d, dtype))
    assert T.stored == 2 * 1024
    assert T.nbytes == 2 * 1024 * size
    assert T.shape == (d, d, d)
    assert T.nnz == d * d
    with pytest.raises(TooLargeError) as caught:
        T.dense()
    assert str(caught.value) == (
        "dense() of Weight(1024 <- 1024×1024, batch (), M=Diagonal, stored 2,048 of 1,073,741,824) would form "
        f"1,073,741,824 elements ({size}.00 GiB), the limit is 16,777,216; stored are 2,048. "
        "Use push, pull, J[p, q] or sample(b), or dense(force=True)"
    )
    assert T[5, 5, 7] == 1.0
    assert T[5, 6, 7] == 0.0
    assert_close(T.norm(), np.asarray(float(d)))


def test_the_limit_itself_is_allowed():
    assert DENSE_LIMIT == 2**24
    at_the_limit = Zero(KIND, (4096,), (4096,))
    assert at_the_limit.dense().shape == (4096, 4096)
    beyond = Zero(KIND, (4097,), (4096,))
    with pytest.raises(TooLargeError, match=re.escape("16,781,312 elements (0.13 GiB), the limit is 16,777,216")):
        beyond.dense()
    with pytest.raises(TooLargeError):
        beyond.dense(False)
    assert beyond.dense(force=True).shape == (4097, 4096)
    one_more = Zero(KIND, (2**24 + 1,), ())
    with pytest.raises(TooLargeError):
        one_more.dense()
    assert one_more.dense(force=True).shape == (2**24 + 1,)


def test_the_limit_counts_the_batch():
    with pytest.raises(TooLargeError, match="would form 33,554,432 elements"):
        Weight(Diagonal(np.ones((32, 128))), np.ones((32, 64))).dense()


class Watched(np.ndarray):
    """An array that keeps the operations that it takes part in, with the shapes of their operands."""

    seen: ClassVar[list] = []

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        plain = [np.asarray(x) for x in inputs]
        Watched.seen.append((ufunc.__name__, *(x.shape for x in plain)))
        return np.asarray(getattr(ufunc, method)(*plain, **kwargs)).view(Watched)


def watched(*shape):
    return np.random.default_rng(0).standard_normal(shape).view(Watched)


def seen(name):
    """The shapes of all operations of this name since the last call."""
    shapes = [found[1:] for found in Watched.seen if found[0] == name]
    Watched.seen.clear()
    return shapes


def test_the_gradient_of_a_weight_is_one_matrix_product():
    h, g = watched(2, 5, 3), watched(2, 5, 4)
    T = Weight(Diagonal(watched(2, 5, 4)), h)
    seen("matmul")
    total = T.pull(g, total=True)
    assert seen("matmul") == [((4, 10), (10, 3))]
    assert total.shape == (4, 3)


def test_a_shared_matrix_is_one_product_over_all_leading_axes():
    J = Dense(watched(4, 3))
    seen("matmul")
    J.pull(watched(2, 5, 4))
    J.push(watched(2, 5, 3))
    assert seen("matmul") == [((10, 4), (4, 3)), ((10, 3), (3, 4))]
    J.pull(watched(5, 4))
    J.pull(watched(4))
    assert seen("matmul") == [((5, 4), (4, 3)), ((4,), (4, 3))]
    J.pull(watched(2, 5, 4), total=True)
    assert seen("matmul") == [((4,), (4, 3))]


def test_the_gradient_of_a_weight_forms_no_outer_products():
    rng = np.random.default_rng(0)
    d, samples = 64, 256
    T = Weight(Diagonal(rng.standard_normal((samples, d))), rng.standard_normal((samples, d)))
    g = rng.standard_normal((samples, d))
    total, memory = peak(lambda: T.pull(g, total=True))
    assert memory < 4 * samples * d * 8 < samples * d * d * 8
    assert_close(total, oracle_total(T.M.d * g, T.h))


def oracle_total(u, h):
    result = np.zeros((u.shape[1], h.shape[1]))
    for sample, other in zip(u, h, strict=True):
        result += sample[:, None] * other
    return result


def test_a_norm_is_streamed():
    rng = np.random.default_rng(1)
    d = 96
    T = Sum((Weight(Diagonal(rng.standard_normal(d)), rng.standard_normal(d)),) * 2)
    norm, memory = peak(T.norm)
    assert memory < d * d * d * 8 / 2
    assert memory < 16 * lazy.CHUNK * 8
    assert_close(norm, 2 * T.terms[0].norm())
    assert lazy.CHUNK == 2**16


def test_a_count_is_streamed():
    d = 96
    T = Sum((Weight(Diagonal(np.ones(d)), np.ones(d)), Weight(Identity(KIND, (d,)), np.ones(d))))
    nnz, memory = peak(lambda: T.nnz)
    assert nnz == d * d
    assert memory < 16 * lazy.CHUNK < d * d * d * 8


@pytest.mark.parametrize("chunk", [1, 7, 12, 40])
@pytest.mark.parametrize("name", [name for name in CASES if name.startswith(("sum", "product", "weight-(3,)-lazy"))])
def test_any_size_of_block_gives_the_same(name, chunk, monkeypatch):
    monkeypatch.setattr(lazy, "CHUNK", chunk)
    case = CASES[name](Maker())
    assert_close(case.J.norm(), oracle.norm(case.A))
    assert case.J.nnz == np.count_nonzero(case.A[(0,) * len(case.J.batch)])


@pytest.mark.parametrize(
    ("outs", "ins", "chunk", "blocks"),
    [
        (3, 8, 31, [1, 1, 1]),  # 2 samples of 8 numbers each for one row
        (3, 8, 32, [2, 1]),
        (8, 3, 31, [1, 1, 1]),  # and for one column
        (8, 3, 32, [2, 1]),
        (8, 3, 1, [1, 1, 1]),
        (3, 3, 12, [2, 1]),
        (3, 3, 2**16, [3]),
    ],
)
def test_the_shorter_side_is_streamed_in_blocks_that_fit(outs, ins, chunk, blocks, monkeypatch):
    monkeypatch.setattr(lazy, "CHUNK", chunk)
    scale, matrix = Diagonal(np.ones((2, 3)).view(Watched)), Dense(np.ones((outs, ins)))
    chain = Product((scale, matrix)) if outs <= ins else Product((matrix, scale))
    seen("multiply")
    norm = chain.norm()
    assert [shapes[0] for shapes in seen("multiply") if shapes[-1] == (2, 3)] == [(k, 1, 3) for k in blocks]
    assert_close(norm, np.full(2, (outs * ins) ** 0.5))


def test_without_a_batch_the_blocks_are_larger(monkeypatch):
    monkeypatch.setattr(lazy, "CHUNK", 16)
    chain = Product((Diagonal(np.ones(3).view(Watched)), Dense(np.ones((3, 8)))))
    seen("multiply")
    chain.norm()
    assert [shapes[0] for shapes in seen("multiply") if shapes[-1] == (3,)] == [(2, 3), (1, 3)]


def test_norms_of_tiny_and_huge_numbers():
    for scale in (1e-200, 1e200):
        x = np.full((2, 3), scale)
        for J in (Diagonal(x), Dense(x), Row(x), Product((Diagonal(x), Diagonal(np.ones(3))))):
            norm, root = J.norm(), (6 if type(J) is Dense else 3) ** 0.5
            assert_close(np.asarray(norm) / scale, np.full(J.batch, root))
    both = np.array([[1e-200, 1e-200], [3e200, 4e200]])  # each sample has its own scale
    assert_close(Row(both).norm() / np.array([1e-200, 1e200]), np.array([2**0.5, 5.0]))
    single = Row(np.full(4, 1e-30, np.float32)).norm()
    assert_close(single, np.asarray(2e-30, np.float32))
    assert Row(np.zeros(3)).norm() == 0.0
    assert Row(np.array([1.0, np.inf])).norm() == np.inf
    assert np.isnan(Row(np.array([1.0, np.nan])).norm())


def test_the_norm_of_complex_numbers_is_real():
    m = Maker(np.complex128)
    for name in ("identity-3", "zero-3-4", "selection-repeats", "diagonal-(3,)-3", "dense-(3,)-3-4", "row-(3,)-4"):
        case = CASES[name](m)
        assert case.J.norm().dtype == np.float64
        assert_close(case.J.norm(), oracle.norm(case.A))


def test_a_broadcast_gathers_no_square():
    n = 20_000
    J = Selection(KIND, np.zeros(n, dtype=int), (1,))
    pulled, memory = peak(lambda: J.pull(np.ones(n)))
    assert pulled.tolist() == [n]
    assert memory < 100 * n
