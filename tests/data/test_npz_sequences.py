"""Sequences in NumPy archives: what is read, against plain loops over rows and steps, and what is refused."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everygrad.checks.tolerance import assert_close
from everygrad.data import DataSet, load
from everygrad.errors import FileFormatError, InputError, NonFiniteError

RNG = np.random.default_rng(0)
ROWS, TIME = 12, 5
X = RNG.normal(2.0, 3.0, size=(ROWS, TIME, 2))
TOKENS = RNG.integers(0, 7, size=(ROWS, TIME))
Y = np.arange(ROWS) % 3
LABELS = RNG.integers(0, 3, size=(ROWS, TIME))
LENGTHS = np.array([5, 1, 3, 2, 5, 4, 3, 3, 1, 2, 4, 5])
USED = np.arange(TIME) < LENGTHS[:, None]
HOLES = RNG.random((ROWS, TIME)) < 0.6
HOLES[:, 2] = True
WEIGHT = RNG.random(ROWS)


@pytest.fixture
def write(tmp_path):
    def writing(**arrays):
        path = tmp_path / "set.npz"
        np.savez(path, **arrays)
        return path

    return writing


def both(d: DataSet, name: str) -> np.ndarray:
    return np.concatenate([getattr(d, f"{name}_train"), getattr(d, f"{name}_test")])


def order(d: DataSet, x: np.ndarray) -> list[int]:
    """Which row of the file each row of the data set is: by its first step, which always counts here."""
    found = both(d, "x")
    if d.scaling is not None:
        found = d.scaling.undo(found)
    first = [np.abs(np.asarray(x, float).reshape(ROWS, TIME, -1)[:, 0] - row[0]).max(-1).argmin() for row in found]
    assert sorted(first) == list(range(ROWS))
    return [int(i) for i in first]


FIRST = np.arange(ROWS) + 10  # tokens that tell the rows apart, in the first step
MARKED = TOKENS.copy()
MARKED[:, 0] = FIRST


@pytest.mark.parametrize("given", ["lengths", "mask", None])
@pytest.mark.parametrize("per_step", [False, True])
def test_features(write, given, per_step):
    """Scaled by mean and deviation of the steps that count and are trained on: by plain sums."""
    used = {"lengths": USED, "mask": HOLES | (np.arange(TIME) == 0), None: np.ones((ROWS, TIME), bool)}[given]
    steps: dict[str, Any] = {"lengths": {"lengths": LENGTHS}, "mask": {"mask": used}, None: {}}[given]
    x = np.where(used[..., None], X, np.nan)  # what does not count may be anything
    y = np.where(used, LABELS, 99) if per_step else Y
    d = load(write(x=x, y=y, **steps), sequences=True, test_fraction=0.25)
    assert (d.sequences, d.per_step, d.task, d.classes) == (True, per_step, "classification", ("0", "1", "2"))
    assert (d.x_train.shape, d.time, d.features, d.vocabulary) == ((9, TIME, 2), TIME, ("x0", "x1"), None)
    rows = order(d, X)
    trained = rows[:9]
    for j in range(2):
        seen = [X[n, t, j] for n in trained for t in range(TIME) if used[n, t]]
        mean = math.fsum(seen) / len(seen)
        deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in seen) / len(seen))
        for i, n in enumerate(rows):
            expected = [(X[n, t, j] - mean) / deviation if used[n, t] else 0.0 for t in range(TIME)]
            assert_close(both(d, "x")[i, :, j], np.array(expected), 1e-12)
    if per_step:
        expected = [[int(LABELS[n, t]) if used[n, t] else 0 for t in range(TIME)] for n in rows]
    else:
        expected = [int(Y[n]) for n in rows]
    assert both(d, "y").tolist() == expected
    if given == "lengths":
        assert both(d, "lengths").tolist() == [int(LENGTHS[n]) for n in rows]
        assert d.lengths_train.dtype == np.int64
    if given == "mask":
        np.testing.assert_array_equal(both(d, "mask"), used[rows])
    assert d.training.keys() == {"x", "y", *({given} - {None})}
    for name, array in d.held_out.items():
        assert len(array) == 3
        assert array is getattr(d, f"{name}_test")


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, ">i4", np.uint64])
def test_tokens(write, dtype):
    d = load(write(x=MARKED.astype(dtype), y=Y, lengths=LENGTHS.astype(dtype)))
    rows = order(d, MARKED)
    assert d.x_train.dtype == np.int64
    assert (d.vocabulary, d.features, d.scaling) == (22, ("token",), None)
    expected = [[int(MARKED[n, t]) if t < LENGTHS[n] else 0 for t in range(TIME)] for n in rows]
    assert both(d, "x").tolist() == expected
    assert str(d).startswith("set: 3 classes, up to 5 steps of 22 tokens, 10 rows to train on, 2 held out (set.npz)")
    assert d.describe()["vocabulary"] == 22


def test_padding_may_hold_what_is_no_token(write):
    x = np.where(USED, MARKED, -1)
    d = load(write(x=x, y=np.where(USED, LABELS, -100), lengths=LENGTHS))
    rows = order(d, MARKED)
    np.testing.assert_array_equal(both(d, "x"), np.where(USED, x, 0)[rows])
    assert d.classes == ("0", "1", "2")


@pytest.mark.parametrize("dtype", [float, np.float32, bool])
def test_numbers_without_a_feature_axis_are_one_feature(write, dtype):
    x = (X[..., 0] > 1.5) if dtype is bool else X[..., 0].astype(dtype)
    d = load(write(x=x, y=Y), sequences=True, test_fraction=0)
    assert d.x_train.shape == (ROWS, TIME, 1)
    assert_close(np.sort(d.scaling.undo(d.x_train).ravel()), np.sort(x.astype(float).ravel()))


def test_whole_numbers_with_a_feature_axis_are_features(write):
    d = load(write(x=MARKED[..., None], y=Y, features=np.array(["count"])), sequences=True)
    assert (d.features, d.vocabulary, d.x_train.dtype) == (("count",), None, np.float64)
    order(d, MARKED)


@pytest.mark.parametrize("outputs", [None, 1, 2, TIME])
def test_a_regression_per_sequence(write, outputs):
    """TIME numbers for a row are one for each step: that is how it is documented."""
    y = RNG.normal(5.0, 2.0, size=(ROWS,) if outputs is None else (ROWS, outputs))
    d = load(write(x=X, y=y, lengths=LENGTHS))
    rows = order(d, X)
    if outputs == TIME:
        assert (d.per_step, d.y_train.shape, d.outputs) == (True, (10, TIME, 1), 1)
        return
    assert (d.task, d.per_step, d.outputs) == ("regression", False, outputs or 1)
    assert_close(d.target_scaling.undo(both(d, "y")), y.reshape(ROWS, -1)[rows])
    assert_close(d.y_train.std(0), np.ones(d.outputs))


@pytest.mark.parametrize("outputs", [None, 2])
def test_a_regression_per_step(write, outputs):
    y = RNG.normal(5.0, 2.0, size=(ROWS, TIME) if outputs is None else (ROWS, TIME, outputs))
    columns = y.reshape(ROWS, TIME, -1)
    padded = np.where(USED[..., None], columns, np.inf).reshape(y.shape)
    d = load(write(x=X, y=padded, lengths=LENGTHS))
    rows = order(d, X)
    assert (d.task, d.per_step, d.y_train.shape) == ("regression", True, (10, TIME, outputs or 1))
    for k in range(d.outputs):
        seen = [columns[n, t, k] for n in rows[:10] for t in range(TIME) if USED[n, t]]
        mean = math.fsum(seen) / len(seen)
        deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in seen) / len(seen))
        for i, n in enumerate(rows):
            expected = [(columns[n, t, k] - mean) / deviation if USED[n, t] else 0.0 for t in range(TIME)]
            assert_close(both(d, "y")[i, :, k], np.array(expected), 1e-12)


def test_labels_of_text_per_step(write):
    names = np.array(["noun", "verb", "other"])
    d = load(write(x=MARKED, y=names[LABELS], mask=USED))
    rows = order(d, MARKED)
    assert d.classes == ("noun", "other", "verb")
    found = np.array(d.classes)[both(d, "y")]
    assert (found == names[LABELS][rows])[USED[rows]].all()
    assert str(d).startswith("set: 3 classes for each step, up to 5 steps of 22 tokens")


def test_a_class_that_no_step_to_train_on_has(write):
    """What the padding holds does not count."""
    y = np.zeros((4, TIME), dtype=int)
    y[0, 1] = y[3, 0] = 1
    y[1, 4] = y[3, 2] = 2
    split = {"x_train": X[:3], "y_train": y[:3], "x_test": X[3:4], "y_test": y[3:]}
    assert load(write(**split)).classes == ("0", "1", "2")
    steps = {"lengths_train": np.array([5, 4, 5]), "lengths_test": np.array([5])}
    with pytest.raises(InputError, match="1 class has no sample to train on: '2'"):
        load(write(**split, **steps))


def test_weights(write):
    d = load(write(x=X, y=Y, lengths=LENGTHS, weight=WEIGHT), dtype="float32")
    rows = order(d, X)
    assert d.weight_train.dtype == np.float32
    np.testing.assert_array_equal(both(d, "weight"), WEIGHT[rows].astype(np.float32))


@pytest.mark.parametrize("each", [False, True])
def test_weights_of_steps(write, each):
    """One weight for the row counts for each of its steps; padding has none."""
    weight = RNG.random((ROWS, TIME)) if each else WEIGHT
    padded = np.where(USED, weight, np.nan) if each else weight
    d = load(write(x=X, y=LABELS, lengths=LENGTHS, weight=padded))
    rows = order(d, X)
    expected = [
        [float(weight[n, t] if each else weight[n]) if t < LENGTHS[n] else 0.0 for t in range(TIME)] for n in rows
    ]
    assert both(d, "weight").tolist() == expected


def test_a_split_is_kept(write):
    train = {"x_train": X[:8], "y_train": Y[:8], "lengths_train": LENGTHS[:8], "weight_train": WEIGHT[:8]}
    test = {"x_test": X[8:], "y_test": Y[8:], "lengths_test": LENGTHS[8:], "weight_test": WEIGHT[8:]}
    d = load(write(**train, **test))
    assert order(d, X) == list(range(ROWS))
    assert (d.y_train.tolist(), d.y_test.tolist()) == (Y[:8].tolist(), Y[8:].tolist())
    assert d.lengths_test.tolist() == LENGTHS[8:].tolist()
    assert d.weight_train.tolist() == WEIGHT[:8].tolist()


IMAGES = {"x": X, "y": Y}
UNASKED = {
    "images": (IMAGES, False),
    "images and outputs": ({"x": X, "y": RNG.normal(size=(ROWS, TIME))}, False),
    "rows and a mask": ({"x": X[:, 0], "y": Y, "mask": X[:, 0] > 0}, False),
    "rows and lengths": ({"x": X[:, 0], "y": Y, "lengths": 1 + Y % 2}, False),
    "counts": ({"x": TOKENS, "y": Y}, False),
    "lengths": ({**IMAGES, "lengths": LENGTHS}, True),
    "mask": ({**IMAGES, "MASK": USED}, True),
    "tokens with lengths": ({"x": TOKENS, "y": Y, "Lengths": LENGTHS}, True),
    "labels of steps": ({"x": X, "y": LABELS}, True),
    "numbers of steps": ({"x": X, "y": RNG.normal(size=(ROWS, TIME, 1))}, True),
}


@pytest.mark.parametrize(("arrays", "expected"), UNASKED.values(), ids=UNASKED)
def test_what_is_taken_for_sequences_unasked(write, arrays, expected):
    path = write(**arrays)
    assert load(path).sequences is expected
    assert load(path, sequences=True).sequences
    if not expected:
        assert load(path, sequences=False).x_train.ndim == 2


BAD_X, BAD_Y = X.copy(), RNG.normal(size=(ROWS, TIME, 1))
BAD_X[1, 0, 1] = BAD_X[2, 4, 0] = np.nan  # the second one is padding
BAD_Y[3, 1] = BAD_Y[1, 1] = np.inf
SPLIT = {"x_train": X[:8], "y_train": Y[:8], "x_test": X[8:], "y_test": Y[8:]}


def with_lengths(*values: Any) -> dict[str, Any]:
    return {"x": X, "y": Y, "lengths": np.array([*values, *[3] * (ROWS - len(values))])}


WRONG = {
    "too long": (with_lengths(5, 6, 7), FileFormatError, r"lengths\[1\] = 6, and 1 more of 12: a row has 1 to 5 steps"),
    "no step": (with_lengths(2, 0), FileFormatError, r"lengths\[1\] = 0: a row has 1 to 5 steps"),
    "negative length": (with_lengths(-1), FileFormatError, r"lengths\[0\] = -1"),
    "lengths as floats": (
        with_lengths(2.0),
        FileFormatError,
        r"'lengths' has shape \(12,\), float64, expected \(12,\) of",
    ),
    "few lengths": ({"x": X, "y": Y, "lengths": LENGTHS[:9]}, FileFormatError, "'x' has 12 rows, 'lengths' has 9"),
    "lengths of steps": ({"x": X, "y": Y, "lengths": TOKENS}, FileFormatError, r"'lengths' has shape \(12, 5\), int64"),
    "short mask": (
        {"x": X, "y": Y, "mask": USED[:, :4]},
        FileFormatError,
        r"'mask' has shape \(12, 4\), bool, expected \(12, 5\) of true and false, or 1 and 0",
    ),
    "mask of counts": ({"x": X, "y": Y, "mask": TOKENS}, FileFormatError, r"'mask' has shape \(12, 5\), int64"),
    "empty row": (
        {"x": X, "y": Y, "mask": (np.arange(ROWS) % 5 != 1)[:, None] & USED},
        FileFormatError,
        "'mask' has no step in row 1, and 2 more rows",
    ),
    "both": ({"x": X, "y": Y, "mask": USED, "lengths": LENGTHS}, FileFormatError, "leave one of them out"),
    "negative token": (
        {"x": np.where(TOKENS > 3, -3, TOKENS), "y": Y, "lengths": LENGTHS},
        FileFormatError,
        r"x\[\d+, \d+\] = -3.*: tokens count from 0, at most to 1,000,000",
    ),
    "huge token": (
        {
            "x": np.where(np.arange(TIME) == 0, 2**63 + 5, 1).astype(np.uint64) + np.zeros_like(TOKENS, np.uint64),
            "y": Y,
            "mask": USED,
        },
        FileFormatError,
        r"x\[0, 0\] = 9223372036854775813, and 11 more",
    ),
    "nan in a step": ({"x": BAD_X, "y": Y, "lengths": LENGTHS}, NonFiniteError, r"problem\n  - x\[1, 0, 1\] = nan$"),
    "nan in a target": ({"x": X, "y": BAD_Y, "lengths": LENGTHS}, NonFiniteError, r"problem\n  - y\[3, 1, 0\] = inf$"),
    "nan in a row's target": (
        {"x": X, "y": np.where(Y == 1, np.nan, Y), "lengths": LENGTHS},
        NonFiniteError,
        r"y\[1\] = nan, and 3 more of 12",
    ),
    "other steps": (
        {"x": X, "y": RNG.normal(size=(ROWS, 4, 2)), "lengths": LENGTHS},
        FileFormatError,
        r"'y' has shape \(12, 4, 2\) for 5 steps, expected \(rows,\)",
    ),
    "labels of other steps": (
        {"x": X, "y": LABELS[:, :4], "lengths": LENGTHS},
        FileFormatError,
        "'y' has 4 labels in a row of 5 steps: one per row or one per step",
    ),
    "rows": ({"x": X, "y": Y[:7], "lengths": LENGTHS}, FileFormatError, "'x' has 12 rows, 'y' has 7"),
    "empty": ({"x": X[:, :0], "y": Y, "lengths": LENGTHS}, FileFormatError, r"'x' has shape \(12, 0, 2\), expected"),
    "no rows": ({"x": X[:0], "y": Y[:0], "lengths": LENGTHS[:0]}, FileFormatError, r"2 problems\n.*'x' has shape \(0"),
    "complex": ({"x": X + 0j, "y": Y, "lengths": LENGTHS}, FileFormatError, "'x' has dtype complex128, expected real"),
    "text": ({"x": X.astype(str), "y": Y, "lengths": LENGTHS}, FileFormatError, "'x' has dtype <U"),
    "text of other lengths": (
        {"x": X.astype(str), "y": Y, "lengths": LENGTHS + 1},
        FileFormatError,
        r"2 problems\n(.*\n)*.*lengths\[0\] = 6, and 2 more of 12",
    ),
    "bytes": ({"x": X, "y": Y.astype("S"), "lengths": LENGTHS}, FileFormatError, "'y' has dtype .S21"),
    "weight of steps": (
        {"x": X, "y": Y, "lengths": LENGTHS, "weight": X[..., 0]},
        FileFormatError,
        r"'weight' has shape \(12, 5\), float64, expected numbers \(rows,\) for one target for each row",
    ),
    "negative weight": (
        {"x": X, "y": Y, "lengths": LENGTHS, "weight": WEIGHT - 0.5},
        FileFormatError,
        r"weight\[\d\] = -0\.\d+, and \d more of 12: weights are not negative",
    ),
    "nan weight": (
        {"x": X, "y": LABELS, "weight": np.where(WEIGHT > 0.5, np.nan, 1.0)},
        NonFiniteError,
        r"weight\[\d\] = nan",
    ),
    "no weight": (
        {"x": X, "y": Y, "lengths": LENGTHS, "weight": 0 * WEIGHT},
        InputError,
        "all weights of the training",
    ),
    "half": (
        {**SPLIT, "mask_train": USED[:8]},
        FileFormatError,
        "'mask_train' is there, and not that of the other part",
    ),
    "parts": (
        {**SPLIT, "x_test": X[8:, :3], "lengths_train": LENGTHS[:8], "lengths_test": np.full(4, 2)},
        FileFormatError,
        r"x_train has rows of shape \(5, 2\), x_test \(3, 2\)",
    ),
    "weights of parts": (
        {
            **SPLIT,
            "y_train": LABELS[:8],
            "y_test": LABELS[8:],
            "weight_train": WEIGHT[:8],
            "weight_test": X[8:, :, 0] ** 2,
        },
        FileFormatError,
        r"weight_train has rows of shape \(\), weight_test \(5,\)",
    ),
    "tokens and floats": (
        {"x_train": TOKENS, "y_train": Y, "x_test": X[..., 0], "y_test": Y, "mask_train": USED, "mask_test": USED},
        FileFormatError,
        "one of x_train and x_test holds tokens",
    ),
    "one class": ({"x": X, "y": 0 * LABELS}, InputError, "one value only, 0"),
    "one class that counts": (
        {"x": X, "y": np.where(USED, 1, LABELS), "lengths": LENGTHS},
        InputError,
        "one value only, 1",
    ),
    "features": ({"x": X, "y": Y, "mask": USED, "features": np.array(["a"])}, FileFormatError, "expected 2 names"),
}


@pytest.mark.parametrize(("arrays", "error", "message"), WRONG.values(), ids=WRONG)
def test_what_is_refused(write, arrays, error, message):
    with pytest.raises(error, match=message) as caught:
        load(write(**arrays))
    assert type(caught.value) is error


def test_every_mismatch_at_once(write):
    x = X.copy()
    x[0, 0, 0] = np.nan
    train = {"x_train": x[:8], "y_train": Y[:8] + 0j, "lengths_train": LENGTHS[:8], "mask_train": USED[:8]}
    test = {"x_test": X[8:], "y_test": LABELS[8:, :3], "lengths_test": LENGTHS[8:] + 3, "weight_test": WEIGHT[8:]}
    with pytest.raises(FileFormatError) as caught:
        load(write(**train, **test))
    for part in (
        "problems",
        "'mask_train' is there, and not that of the other part",
        "'weight_test' is there, and not that of the other part",
        "leave one of them out",
        "'y_train' has dtype complex128",
        "x_train[0, 0, 0] = nan",
        "'y_test' has 3 labels in a row of 5 steps",
        "lengths_test[2] = 7, and 1 more of 4: a row has 1 to 5 steps",
    ):
        assert part in str(caught.value)


class Explodes:
    def __init__(self, where):
        self.where = where

    def __reduce__(self):
        return (open, (str(self.where), "w"))


@pytest.mark.parametrize("name", ["lengths", "mask", "weight"])
def test_nothing_is_unpickled(write, tmp_path, name):
    harm = tmp_path / "harm"
    objects = np.array([Explodes(harm)] * ROWS, dtype=object)
    arrays = {"x": X, "y": LABELS, name: objects}
    with pytest.raises(FileFormatError, match=f"'{name}' holds Python objects, which are not read"):
        load(write(**arrays))
    assert not harm.exists()


@settings(max_examples=100)
@given(
    lengths=st.lists(st.integers(-1, 4), min_size=1, max_size=8),
    seed=st.integers(0, 1000),
    fraction=st.sampled_from([0.0, 0.3]),
)
def test_any_lengths_are_read_or_refused(tmp_path_factory, lengths, seed, fraction):
    """Whatever the lengths: nothing but what counts is looked at, and a wrong one is named."""
    rng = np.random.default_rng(seed)
    rows, time = len(lengths), 3
    x = rng.normal(size=(rows, time, 1))
    used = [[t < n for t in range(time)] for n in lengths]
    x[~np.array(used)] = np.nan
    path = tmp_path_factory.getbasetemp() / "drawn.npz"
    np.savez(path, x=x, y=rng.normal(size=rows), lengths=np.array(lengths))
    wrong = [n for n in lengths if not 1 <= n <= time]
    if wrong or rows == 1:
        with pytest.raises((FileFormatError, InputError), match=f"= {wrong[0]}" if wrong else "one value only"):
            load(path, test_fraction=fraction)
        return
    d = load(path, test_fraction=fraction)
    assert sorted(both(d, "lengths").tolist()) == sorted(lengths)
    assert np.isfinite(both(d, "x")).all()
    scaled = d.scaling.undo(both(d, "x"))
    kept = [scaled[i, t, 0] for i, n in enumerate(both(d, "lengths")) for t in range(n)]
    assert_close(np.sort(kept), np.sort(x[np.array(used)].ravel()), 1e-12)
