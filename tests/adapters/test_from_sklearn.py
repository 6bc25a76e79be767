"""The same outputs and the same loss as scikit-learn's perceptrons."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_linnerud
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from everygrad.adapters import from_sklearn
from everygrad.backprop import forward, gradients
from everygrad.checks import check
from everygrad.checks.tolerance import FRAMEWORK, SINGLE, assert_close
from everygrad.errors import InputError, UnsupportedError

ACTIVATIONS = ("identity", "logistic", "tanh", "relu")


def scaled(x):
    return (x - x.mean(0)) / (x.std(0) + 1e-9)


def fitted(estimator, x, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(x, y)


def small(cls, **settings):
    return cls(**{"max_iter": 6, "hidden_layer_sizes": (9, 7), "random_state": 0, "alpha": 0.0, **settings})


def step_of(estimator, x, y):
    """(the loss that the estimator reports, the gradient that it follows): one plain step of the batch, undone."""
    plain = {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 1.0, "batch_size": len(x), "shuffle": False}
    before = [w.copy() for w in (*estimator.coefs_, *estimator.intercepts_)]
    estimator.set_params(**plain)
    for name in ("_optimizer", "_random_state"):
        vars(estimator).pop(name, None)
    estimator.partial_fit(x, y)
    steps = [b - a for b, a in zip(before, (*estimator.coefs_, *estimator.intercepts_), strict=True)]
    n = len(estimator.coefs_)
    named = {f"W{i}": g.T for i, g in enumerate(steps[:n], 1)} | {f"b{i}": g for i, g in enumerate(steps[n:], 1)}
    return estimator.loss_, named


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def last(net, params, x):
    return forward(net, params, x, of=net.prediction)[net.prediction]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_ten_classes(activation, solver):
    x, labels = load_digits(return_X_y=True)
    x, names = scaled(x[:300]), np.array(list("abcdefghij"))[labels[:300]]
    model = fitted(small(MLPClassifier, activation=activation, solver=solver), x, names)
    net, params = from_sklearn(model)
    assert net.sizes == (64, 9, 7, 10)
    assert_close(softmax(last(net, params, x)), model.predict_proba(x), FRAMEWORK)
    y = np.searchsorted(model.classes_, names)
    g = gradients(net, params, x, y)
    if solver == "adam":  # lbfgs gives no reported loss for a single step
        reported, followed = step_of(model, x, names)
        assert_close(g.loss, np.array(reported), FRAMEWORK)
        for name, array in followed.items():
            assert_close(g[name], array, FRAMEWORK, name)


def test_two_classes_have_one_output():
    x, y = load_breast_cancer(return_X_y=True)
    x = scaled(x)
    model = fitted(small(MLPClassifier, activation="tanh", solver="adam"), x, y)
    net, params = from_sklearn(model)
    assert net.sizes[-1] == 1
    p = sigmoid(last(net, params, x))
    assert_close(np.hstack([1 - p, p]), model.predict_proba(x), FRAMEWORK)
    g = gradients(net, params, x, y.astype(float))
    reported, followed = step_of(model, x, y)
    assert_close(g.loss, np.array(reported), FRAMEWORK)
    for name, array in followed.items():
        assert_close(g[name], array, FRAMEWORK, name)


def test_several_labels():
    x, labels = load_digits(return_X_y=True)
    x, labels = scaled(x[:200]), labels[:200]
    y = np.stack([labels % 2, labels > 4, labels == 3], axis=1).astype(int)
    model = fitted(small(MLPClassifier, activation="relu"), x, y)
    net, params = from_sklearn(model)
    assert_close(sigmoid(last(net, params, x)), model.predict_proba(x), FRAMEWORK)
    g = gradients(net, params, x, y.astype(float))
    reported, followed = step_of(model, x, y)
    assert_close(g.loss, np.array(reported), FRAMEWORK)
    for name, array in followed.items():
        assert_close(g[name], array, FRAMEWORK, name)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(), (5,), (6, 5, 4)])
def test_regression(activation, hidden):
    x, y = load_diabetes(return_X_y=True)
    x, y = scaled(x), scaled(y)
    model = fitted(small(MLPRegressor, activation=activation, hidden_layer_sizes=hidden), x, y)
    net, params = from_sklearn(model)
    assert net.sizes == (10, *hidden, 1)
    assert_close(last(net, params, x)[:, 0], model.predict(x), FRAMEWORK)
    g = gradients(net, params, x, y)
    reported, followed = step_of(model, x, y)
    assert_close(g.loss, np.array(reported), FRAMEWORK)
    for name, array in followed.items():
        assert_close(g[name], array, FRAMEWORK, name)


def test_three_outputs_have_the_reported_loss_and_the_checker_agrees_with_our_gradient():
    x, y = (scaled(part) for part in load_linnerud(return_X_y=True))
    model = fitted(small(MLPRegressor, activation="tanh"), x, y)
    net, params = from_sklearn(model)
    assert_close(last(net, params, x), model.predict(x), FRAMEWORK)
    reported, _ = step_of(model, x, y)
    assert_close(gradients(net, params, x, y).loss, np.array(reported), FRAMEWORK)
    check(net, params, x, y).raise_if_wrong()


def test_the_penalty_is_what_the_docstring_says():
    x, y = load_diabetes(return_X_y=True)
    x, y, alpha = scaled(x), scaled(y), 0.7
    model = fitted(small(MLPRegressor, alpha=alpha), x, y)
    net, params = from_sklearn(model)
    g = gradients(net, params, x, y)
    reported, followed = step_of(model, x, y)
    weights = [params[name] for name in ("W1", "W2", "W3")]
    penalty = 0.5 * alpha * sum((W * W).sum() for W in weights) / len(x)
    assert_close(g.loss + penalty, np.array(reported), FRAMEWORK)
    for i, W in enumerate(weights, start=1):
        assert_close(g[f"W{i}"] + alpha * W / len(x), followed[f"W{i}"], FRAMEWORK)
        assert_close(g[f"b{i}"], followed[f"b{i}"], FRAMEWORK)


def test_float32_stays_float32():
    x, y = load_diabetes(return_X_y=True)
    x, y = scaled(x).astype(np.float32), scaled(y).astype(np.float32)
    model = fitted(small(MLPRegressor, solver="sgd"), x, y)
    net, params = from_sklearn(model)
    assert {p.dtype for p in params.values()} == {np.dtype(np.float32)}
    assert_close(last(net, params, x)[:, 0], model.predict(x), SINGLE)


def test_the_parameters_are_contiguous_copies():
    x, y = load_diabetes(return_X_y=True)
    model = fitted(small(MLPRegressor, solver="lbfgs"), x, y)
    before = [w.copy() for w in (*model.coefs_, *model.intercepts_)]
    _, params = from_sklearn(model)
    for p in params.values():
        assert p.flags.c_contiguous
        assert p.flags.owndata
        p[...] = 0.0
    for w, copy in zip((*model.coefs_, *model.intercepts_), before, strict=True):
        np.testing.assert_array_equal(w, copy)


def test_not_fitted():
    for cls in (MLPClassifier, MLPRegressor):
        with pytest.raises(InputError, match=rf"^{cls.__name__} is not fitted: call its fit\(x, y\) first$"):
            from_sklearn(cls())


def test_the_poisson_loss_is_refused():
    x, y = load_diabetes(return_X_y=True)
    model = fitted(small(MLPRegressor, loss="poisson"), scaled(x), y)
    with pytest.raises(UnsupportedError, match="loss 'poisson' with output 'exp' has no counterpart here"):
        from_sklearn(model)


def test_every_reason_is_listed():
    x, y = load_diabetes(return_X_y=True)
    model = fitted(small(MLPRegressor), scaled(x), scaled(y))
    model.activation = "softsign"
    model.coefs_[0] = model.coefs_[0].astype(np.float16)
    with pytest.raises(UnsupportedError) as caught:
        from_sklearn(model)
    assert str(caught.value).split("\n  - ") == [
        "from_sklearn: MLPRegressor: 2 problems",
        "activation 'softsign', expected one of identity, logistic, tanh, relu",
        "coefs_ and intercepts_ of dtype float16 and float64, expected all float32 or all float64",
    ]


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (LogisticRegression(), "got LogisticRegression$"),
        (make_pipeline(StandardScaler(), MLPRegressor()), r"got Pipeline: give its last step, model\[-1\], and data"),
        (type("Mine", (MLPRegressor,), {})(), "got Mine, a subclass, which may compute something else$"),
        (3, "got int$"),
    ],
)
def test_other_classes_are_refused(estimator, reason):
    with pytest.raises(UnsupportedError, match=reason):
        from_sklearn(estimator)


def test_a_search_is_refused_with_a_hint():
    x, y = load_diabetes(return_X_y=True)
    search = fitted(GridSearchCV(small(MLPRegressor, max_iter=2), {"alpha": [0.0]}, cv=2), scaled(x), scaled(y))
    with pytest.raises(UnsupportedError, match="got GridSearchCV: give its best_estimator_"):
        from_sklearn(search)
    assert from_sklearn(search.best_estimator_)[0].sizes == (10, 9, 7, 1)
