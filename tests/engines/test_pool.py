"""Memory is used again only when nobody can notice."""

import sys
import threading

import numpy as np
import pytest

import everygrad as eg
from everygrad.backprop.plan import plan
from everygrad.engines import pool as pool_module
from everygrad.engines.pool import MOST_ALIKE, SMALLEST, Pool, matmul, multiply, tanh, using

LARGE = (128, 256)
FLOAT = np.dtype(float)


def address(array):
    return array.__array_interface__["data"][0]


def test_an_array_that_is_let_go_is_given_out_again():
    pool = Pool()
    first = pool.empty(LARGE, FLOAT)
    where = address(first)
    assert address(pool.empty(LARGE, FLOAT)) != where  # still held
    del first
    assert where in {address(a) for a in [pool.empty(LARGE, FLOAT), pool.empty(LARGE, FLOAT)]}


HOLDERS = {
    "slice": lambda a: a[3:5],
    "transpose": lambda a: a.T,
    "memoryview": memoryview,
    "container": lambda a: [{"x": a}],
    "view of a view": lambda a: a.reshape(-1)[1:],
}


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS.keys())
def test_an_array_that_is_held_in_any_way_is_not(hold):
    pool = Pool()
    array = pool.empty(LARGE, FLOAT)
    where, held = address(array), hold(array)
    del array
    others = [pool.empty(LARGE, FLOAT) for _ in range(5)]
    assert where not in {address(a) for a in others}
    del held
    assert where in {address(pool.empty(LARGE, FLOAT)) for _ in range(7)}


def test_small_arrays_and_other_shapes_are_apart():
    pool = Pool()
    pool.empty((SMALLEST // 8 - 1,), FLOAT)
    assert pool.nbytes == 0
    pool.empty((SMALLEST // 8,), FLOAT)
    assert pool.nbytes == SMALLEST
    for shape, dtype in (((64, 512), FLOAT), ((256, 256), np.dtype(np.float32))):
        array = pool.empty(shape, dtype)
        assert array.shape == shape
        assert array.dtype == dtype


def test_the_pool_stays_bounded(monkeypatch):
    monkeypatch.setattr(pool_module, "MOST_BYTES", 10 * 128 * 256 * 8)
    pool = Pool()
    held = [pool.empty(LARGE, FLOAT) for _ in range(50)]
    assert pool.nbytes == 10 * 128 * 256 * 8
    assert len({address(a) for a in held}) == 50
    pool = Pool()
    monkeypatch.setattr(pool_module, "MOST_BYTES", 2**40)
    monkeypatch.setattr(pool_module, "MOST_ALIKE", 8)
    held = [pool.empty(LARGE, FLOAT) for _ in range(50)]
    assert pool.nbytes <= 8 * 128 * 256 * 8
    assert len({address(a) for a in held}) == 50
    assert MOST_ALIKE > 8


def test_two_threads_never_get_the_same_array():
    pool, clashes = Pool(), []

    def work(mark):
        for _ in range(300):
            array = pool.empty(LARGE, FLOAT)
            array[...] = mark
            if not (array == mark).all():
                clashes.append(mark)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        sys.setswitchinterval(interval)
    assert clashes == []


def test_the_functions_compute_the_same_with_and_without_a_pool():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(256, 256)), rng.normal(size=(256, 256))
    batch, vector = rng.normal(size=(3, 256, 256)), rng.normal(size=256)
    calls = [
        (lambda: matmul(a, b), a @ b),
        (lambda: matmul(a, b.T), a @ b.T),
        (lambda: matmul(batch, b), batch @ b),
        (lambda: matmul(vector, b), vector @ b),
        (lambda: matmul(a.astype(np.float32), b), a.astype(np.float32) @ b),
        (lambda: multiply(a, b), a * b),
        (lambda: multiply(a, vector), a * vector),
        (lambda: multiply(a + 1j, b), (a + 1j) * b),
        (lambda: tanh(a), np.tanh(a)),
        (lambda: tanh(a + 1j), np.tanh(a + 1j)),
    ]
    for call, reference in calls:
        plain = call()
        with using(Pool()):
            pooled, again = call(), call()
        assert pooled.dtype == again.dtype == reference.dtype
        for found in (plain, pooled, again):
            np.testing.assert_array_equal(found, reference)


def test_a_pass_reuses_the_last_ones_memory_and_never_what_is_held():
    net = eg.FeedForward([200, 180, 180, 10])
    rng = np.random.default_rng(0)
    params, y = net.init(0), rng.integers(0, 10, 100)
    xs = [rng.normal(size=(100, 200)) for _ in range(6)]
    alone = [
        {k: v.copy() for k, v in eg.gradients(eg.FeedForward([200, 180, 180, 10]), params, x, y).items()} for x in xs
    ]
    kept = [eg.gradients(net, params, x, y) for x in xs]  # all held: nothing may be overwritten
    views = [g["W1"][3:5] for g in kept]
    for g, reference in zip(kept, alone, strict=True):
        for name in reference:
            np.testing.assert_array_equal(g[name], reference[name])
    del g, kept
    before = plan(net.graph).pool.nbytes
    for x, reference in zip(xs, alone, strict=True):
        g = eg.gradients(net, params, x, y)
        np.testing.assert_array_equal(g["W2"], reference["W2"])
    more = plan(net.graph).pool.nbytes - before  # at most what one pass holds beside the last
    assert more <= sum(v.nbytes for v in {**g.trace, **g}.values())
    for view, reference in zip(views, alone, strict=True):
        np.testing.assert_array_equal(view, reference["W1"][3:5])
