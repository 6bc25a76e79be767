"""``from_sklearn``: a fitted multi-layer perceptron of scikit-learn as a network of ours."""

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from everygrad.engines import Array
from everygrad.errors import InputError, UnsupportedError, all_mismatches
from everygrad.graph.losses import BinaryCrossEntropy, Loss, SoftmaxCrossEntropy, SquaredError
from everygrad.networks import FeedForward

_ACTIVATIONS = {"identity": "identity", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}


def from_sklearn(estimator: Any) -> tuple[FeedForward, dict[str, Array]]:
    """A fitted ``MLPClassifier`` or ``MLPRegressor`` as (network, parameters) with the same outputs.

    ``Wi`` = ``coefs_[i−1].T``, (out, in); ``bi`` = ``intercepts_[i−1]``; copies, of the dtype they had. The last
    quantity ``aL`` is the prediction of a regressor; for a classifier it is the logits, and
    ``predict_proba`` is their softmax (three classes or more) or sigmoid (two classes: one output, the
    probability of the second class; multilabel: one per label).

    The loss is the one that the estimator reports, without its penalty: softmax and cross-entropy;
    binary cross-entropy, summed over the outputs; ½ (a_L − y)², a mean over the samples *and* over the
    outputs. Not included is 0.5·alpha·Σ‖W‖²/n: for ``alpha > 0`` the gradient of the reported loss has
    alpha·W/n more in each ``Wi``. scikit-learn clips probabilities to [ε, 1 − ε] in what it reports.

    Targets: for three classes or more, numbers of classes, ``numpy.searchsorted(estimator.classes_, labels)``;
    for two, the same as floats 0 and 1; multilabel: the indicator matrix as floats; regression: as they are.

    The gradient that scikit-learn itself follows in ``MLPRegressor`` with K > 1 outputs is K times the
    gradient of the loss that it reports: its loss is a mean over the outputs, its derivative a sum.

    Raises `InputError` if the estimator is not fitted; `UnsupportedError` with the reasons for anything
    else: another class (a subclass too), the Poisson loss, other dtypes.
    """
    if type(estimator) not in (MLPClassifier, MLPRegressor):
        raise UnsupportedError(_not_ours(estimator))
    if not hasattr(estimator, "coefs_") or not hasattr(estimator, "out_activation_"):
        raise InputError(f"{type(estimator).__name__} is not fitted: call its fit(x, y) first")
    dtypes = sorted({str(array.dtype) for array in (*estimator.coefs_, *estimator.intercepts_)})
    problems = []
    if estimator.activation not in _ACTIVATIONS:
        problems.append(f"activation {estimator.activation!r}, expected one of {', '.join(_ACTIVATIONS)}")
    if estimator.out_activation_ not in ("softmax", "logistic", "identity"):
        problems.append(
            f"loss {estimator.loss!r} with output {estimator.out_activation_!r} has no counterpart here: only "
            f"log_loss and squared_error"
        )
    if dtypes not in (["float32"], ["float64"]):
        problems.append(f"coefs_ and intercepts_ of dtype {' and '.join(dtypes)}, expected all float32 or all float64")
    all_mismatches(f"from_sklearn: {type(estimator).__name__}", problems, UnsupportedError)
    params: dict[str, Array] = {}
    for i, (coef, intercept) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True), start=1):
        params[f"W{i}"] = np.array(coef.T, order="C")
        params[f"b{i}"] = np.array(intercept)
    sizes = [estimator.coefs_[0].shape[0], *(coef.shape[1] for coef in estimator.coefs_)]
    return FeedForward(sizes, _ACTIVATIONS[estimator.activation], _loss(estimator)), params


def _loss(estimator: Any) -> Loss:
    if estimator.out_activation_ == "softmax":
        return SoftmaxCrossEntropy()
    if estimator.out_activation_ == "logistic":
        return BinaryCrossEntropy()
    return SquaredError(outputs="mean", half=True)


def _not_ours(estimator: object) -> str:
    came = type(estimator).__name__
    text = f"from_sklearn takes a fitted MLPClassifier or MLPRegressor, got {came}"
    if isinstance(estimator, MLPClassifier | MLPRegressor):
        return f"{text}, a subclass, which may compute something else"
    if hasattr(estimator, "steps"):
        return f"{text}: give its last step, model[-1], and data that went through model[:-1].transform"
    if hasattr(estimator, "best_estimator_"):
        return f"{text}: give its best_estimator_"
    return text
