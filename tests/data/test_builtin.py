"""The built-in sets against scikit-learn's own arrays, and what is said without scikit-learn."""

import sys

import numpy as np
import pytest
import sklearn.datasets
from sklearn.preprocessing import StandardScaler

import everygrad as eg
from everygrad.backprop import forward
from everygrad.checks.tolerance import assert_close
from everygrad.data import load, network_for, sizes_for
from everygrad.data.builtin import SKLEARN
from everygrad.errors import InputError


def sklearn_loader(name: str):
    return getattr(sklearn.datasets, SKLEARN[name])


def rows_as_set(x: np.ndarray, y: np.ndarray) -> list[bytes]:
    return sorted(
        np.append(row, label).tobytes() for row, label in zip(x.round(9) + 0.0, y.ravel().round(9), strict=True)
    )


@pytest.mark.parametrize(
    ("name", "task", "shape", "classes"),
    [
        ("digits", "classification", (1797, 64), 10),
        ("wine", "classification", (178, 13), 3),
        ("breast-cancer", "binary", (569, 30), 2),
        ("diabetes", "regression", (442, 10), 0),
    ],
)
def test_every_row_is_there_once(name, task, shape, classes):
    d = load(name, seed=3)
    x, y = sklearn_loader(name)(return_X_y=True)
    assert (d.task, (d.rows, len(d.features)), len(d.classes)) == (task, shape, classes)
    assert len(d.x_test) == round(0.2 * shape[0])
    back = d.scaling.undo(np.concatenate([d.x_train, d.x_test]))
    labels = np.concatenate([d.y_train, d.y_test])
    if d.target_scaling is not None:
        labels = d.target_scaling.undo(labels)
    assert rows_as_set(back, labels) == rows_as_set(x, y)


@pytest.mark.parametrize("name", ["wine", "breast-cancer", "diabetes"])
def test_standardised_as_scikit_learn_does(name):
    d = load(name)
    raw_train, raw_test = d.scaling.undo(d.x_train), d.scaling.undo(d.x_test)
    scaler = StandardScaler().fit(raw_train)
    assert_close(d.x_train, scaler.transform(raw_train), 1e-12)
    assert_close(d.x_test, scaler.transform(raw_test), 1e-12)
    assert np.abs(d.x_train.mean(0)).max() < 1e-13
    assert np.abs(d.x_test.mean(0)).max() > 0.01  # measured on the training part only


def test_digits_are_divided_by_16():
    d = load("digits")
    assert d.x_train.min() == 0.0
    assert d.x_train.max() == 1.0
    assert np.array_equal(d.x_train * 16, np.round(d.x_train * 16))
    assert d.classes == tuple("0123456789")
    assert d.features[:9] == (*(f"pixel_0_{i}" for i in range(8)), "pixel_1_0")


def test_targets_of_a_regression_are_standardised():
    d = load("diabetes")
    assert d.y_train.shape == (354, 1)
    assert_close(d.y_train.std(), 1.0)
    assert d.target_scaling is not None
    y = sklearn.datasets.load_diabetes().target
    assert_close(np.sort(d.target_scaling.undo(np.concatenate([d.y_train, d.y_test]))[:, 0]), np.sort(y))


@pytest.mark.parametrize(("name", "loss"), [("wine", "softmax_cross_entropy"), ("diabetes", "squared_error")])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_network_fits(name, loss, dtype):
    d = load(name, dtype=dtype)
    net = network_for(d, [7, 5], activation="relu")
    assert net.sizes == tuple(sizes_for(d, [7, 5])) == (len(d.features), 7, 5, {"wine": 3, "diabetes": 1}[name])
    assert net.loss.name == loss
    params = net.init(0, dtype)
    value = forward(net, params, d.x_train, d.y_train)["loss"]
    a = d.x_train @ params["W1"].T
    a = np.maximum(a, 0) @ params["W2"].T
    a = np.maximum(a, 0) @ params["W3"].T
    if loss == "squared_error":
        expected = ((a - d.y_train) ** 2).sum(1).mean()
    else:
        p = np.exp(a) / np.exp(a).sum(1, keepdims=True)
        expected = -np.log(p[np.arange(len(a)), d.y_train]).mean()
    assert value.dtype == dtype
    assert_close(value, expected, 1e-5 if dtype is np.float32 else None)


def test_two_classes_have_two_outputs():
    d = load("breast-cancer")
    assert sizes_for(d) == [30, 2]
    assert d.classes == ("malignant", "benign")
    net = network_for(d, loss="binary_cross_entropy")
    assert net.loss.name == "binary_cross_entropy"
    assert eg.gradients(network_for(d, [3]), network_for(d, [3]).init(0), d.x_test, d.y_test).loss > 0


def test_without_scikit_learn(monkeypatch):
    for module in [m for m in sys.modules if m == "sklearn" or m.startswith("sklearn.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(InputError, match=r"'wine' comes with scikit-learn.*pip install 'everygrad\[sklearn\]'.*\.csv"):
        load("wine")


def test_what_a_report_says():
    d = load("wine")
    described = d.describe()
    assert described["classes"] == ["class_0", "class_1", "class_2"]
    assert (described["rows"], described["rows_train"], described["rows_test"]) == (178, 142, 36)
    assert described["source"].startswith("scikit-learn ")
    assert str(d).startswith("wine: 3 classes, 13 features, 142 rows to train on, 36 held out (scikit-learn ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spec": "digit"}, "unknown data set 'digit'. Did you mean 'digits'"),
        ({"spec": "data.xlsx"}, r"end in .csv or .npz, this one in '.xlsx'"),
        (
            {"spec": ""},
            "data must be one of digits, wine, breast-cancer, diabetes, digits-pixels.*sunspots, or the path",
        ),
        ({"spec": 3}, "got 3"),
        ({"spec": "wine", "target": "x"}, "has its own target"),
        ({"spec": "wine", "test_fraction": 1.0}, r"test_fraction must be in \[0, 1\), got 1.0"),
        ({"spec": "wine", "test_fraction": float("nan")}, "test_fraction must be in"),
        ({"spec": "wine", "seed": -1}, "seed must be"),
        ({"spec": "wine", "dtype": int}, "dtype must be float32 or float64"),
        ({"spec": "wine", "task": "cluster"}, "unknown task 'cluster'"),
        ({"spec": "wine", "task": "binary"}, "has 3 classes, a binary task has 2"),
        ({"spec": "diabetes", "task": "binary"}, "classes, a binary task has 2"),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    with pytest.raises(InputError, match=message):
        load(**arguments)


def test_classes_may_be_numbers_to_predict():
    d = load("wine", task="regression")
    assert (d.task, d.y_train.shape, d.classes) == ("regression", (142, 1), ())
