"""Splits and scalings against their definitions."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from everygrad.checks.tolerance import assert_close
from everygrad.data import load
from everygrad.data.scaling import standardise
from everygrad.data.split import split
from everygrad.errors import InputError


@given(
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=8).filter(lambda c: sum(c) > 0),
    fraction=st.floats(0, 0.99),
    seed=st.integers(0, 5),
)
def test_each_class_gives_its_share(counts, fraction, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    rows = len(labels)
    wanted = max(1, round(fraction * rows)) if fraction else 0
    present = [c for c in counts if c]
    if wanted > rows - len(present):
        with pytest.raises(InputError, match="every class needs one row"):
            split(labels, rows, fraction, np.random.default_rng(seed))
        return
    train, test = split(labels, rows, fraction, np.random.default_rng(seed))
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(rows))
    assert len(test) == wanted
    held_out = Counter(labels[test].tolist())
    room = all(math.ceil(wanted * c / rows) < c for c in present)
    for label, count in enumerate(counts):
        if count:
            assert held_out[label] < count  # one is left to train on
            exact = wanted * count / rows
            assert not room or abs(held_out[label] - exact) < 1


def test_the_same_seed_gives_the_same_split():
    labels = np.arange(90) % 3
    first, again, other = (split(labels, 90, 0.3, np.random.default_rng(s)) for s in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[1], other[1])
    assert not np.array_equal(np.sort(first[0]), first[0])  # in random order too


def test_every_row_is_as_likely_as_any_other():
    labels = np.array([0] * 8 + [1] * 4)
    held_out = Counter()
    for seed in range(600):
        held_out.update(split(labels, 12, 0.25, np.random.default_rng(seed))[1].tolist())
    assert all(abs(held_out[i] / 600 - 0.25) < 0.07 for i in range(12))  # 4 standard deviations


def test_without_labels():
    train, test = split(None, 10, 0.25, np.random.default_rng(0))
    assert (len(train), len(test)) == (8, 2)
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(10))
    with pytest.raises(InputError, match=r"1 rows cannot be split with test_fraction=0.2: 1 would be held out"):
        split(None, 1, 0.2, np.random.default_rng(0))
    train, test = split(None, 1, 0.0, np.random.default_rng(0))
    assert (train.tolist(), test.tolist()) == ([0], [])


def test_a_generator_may_be_passed():
    a = load("wine", seed=5)
    b = load("wine", seed=np.random.default_rng(5))
    assert np.array_equal(a.x_test, b.x_test)
    assert not np.array_equal(a.x_test, load("wine", seed=6).x_test)


# times 1e-300 still a normal number: below, the numbers themselves have fewer digits
NORMAL = st.floats(-1e6, 1e6).map(lambda x: x if abs(x) > 1e-6 else 0.0)


@given(
    st.lists(st.lists(NORMAL, min_size=3, max_size=3), min_size=1, max_size=12),
    st.sampled_from([1.0, 1e-200, 1e200, 1e-300]),
)
@example([[0.0, 0.0, 0.0], [0.0, 0.0, 1.549748721666453e-158]], 1.0)  # whose square underflows
def test_mean_and_deviation(rows, factor):
    """Against exact sums of the scaled-back numbers: no overflow, no underflow."""
    v = np.array(rows) * factor
    scaling = standardise(v)
    for j in range(3):
        column = [x / factor for x in v[:, j].tolist()]
        if len(set(v[:, j].tolist())) == 1:
            assert scaling.scale[j] == 0
            continue
        mean = math.fsum(column) / len(column)
        size = max(map(abs, column))
        # in units of the largest, or the squares of tiny numbers underflow here, in the oracle
        deviation = size * math.sqrt(math.fsum(((x - mean) / size) ** 2 for x in column) / len(column))
        assert abs(scaling.offset[j] / factor - mean) <= 1e-13 * size
        assert abs(scaling.scale[j] / factor - deviation) <= 1e-13 * size


def test_constant_columns_become_zero():
    v = np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 4.0]])
    scaling = standardise(v)
    z = scaling.apply(np.array([[0.1, 1.0], [7.0, 1.0]]))  # the second column changes in the held-out rows only
    assert z[:, 0].tolist() == [0.0, 0.0]
    assert_close(scaling.undo(scaling.apply(v)), v)
