"""scikit-learn's MLPRegressor does not follow the gradient of the loss that it reports.

For K outputs it reports ½ times the *mean* over samples and outputs of (a − y)², and follows a gradient in
which the mean over the outputs is missing: K times too large (scikit-learn issue 8349, open since 2017).
Value and derivative are written in two files. The direction is right, so training works; the step is K
times as long as ``learning_rate_init`` says, and the balance with the penalty ``alpha`` is K times off.

Only public methods are used: one step of plain gradient descent on the whole batch with a learning rate of 1
moves the parameters by the gradient. The checker compares it with the complex step through the reported
loss, once for three outputs and once for one.
"""

from collections.abc import Mapping

import numpy as np
import sklearn
from sklearn.datasets import load_linnerud
from sklearn.neural_network import MLPRegressor

from everygrad.adapters import from_sklearn
from everygrad.backprop import forward
from everygrad.checks import CheckResult, check

TOLERANCE = 1e-10
"""For a gradient that is the difference of parameters before and after a step."""


def followed(model: MLPRegressor, x: np.ndarray, y: np.ndarray) -> tuple[float, Mapping[str, np.ndarray]]:
    """The loss that scikit-learn reports before its next step, and the gradient that the step follows."""
    before = [w.copy() for w in (*model.coefs_, *model.intercepts_)]
    model.partial_fit(x, y)
    moved = [b - a for b, a in zip(before, (*model.coefs_, *model.intercepts_), strict=True)]
    L = len(model.coefs_)
    gradient = {f"W{i}": g.T for i, g in enumerate(moved[:L], start=1)}
    return model.loss_, gradient | {f"b{i}": g for i, g in enumerate(moved[L:], start=1)}


def examine(x: np.ndarray, y: np.ndarray) -> tuple[CheckResult, CheckResult]:
    """The checker's opinion of scikit-learn's gradient, and of that gradient divided by K."""
    K = y.shape[1] if y.ndim == 2 else 1
    model = MLPRegressor(
        hidden_layer_sizes=(5, 4),
        activation="tanh",
        alpha=0.0,  # no penalty: the reported loss is the squared error alone
        solver="sgd",
        momentum=0.0,
        learning_rate_init=1.0,
        batch_size=len(x),
        random_state=0,
    )
    model.partial_fit(x, y)  # the parameters that a first step leaves are as good as any
    net, params = from_sklearn(model)
    reported, gradient = followed(model, x, y)
    ours = float(forward(net, params, x, y).loss)
    print(f"loss reported by scikit-learn {reported:.15f}, by everygrad {ours:.15f}")
    result = check(net, params, x, y, gradients=gradient, tol=TOLERANCE)
    print(result)
    divided = check(net, params, x, y, gradients={name: g / K for name, g in gradient.items()}, tol=TOLERANCE)
    return result, divided


def main() -> dict[int, tuple[CheckResult, CheckResult]]:
    x, y = load_linnerud(return_X_y=True)  # three exercises, three measurements of 20 middle-aged men
    x, y = (x - x.mean(0)) / x.std(0), (y - y.mean(0)) / y.std(0)
    results = {}
    for K, targets in ((1, y[:, 0]), (3, y)):
        print(f"\nscikit-learn {sklearn.__version__}, MLPRegressor with {K} output{'s' if K > 1 else ''}")
        results[K] = examine(x, targets)
    wrong, divided = results[3]
    if wrong.ok:
        print(f"\nscikit-learn {sklearn.__version__} follows the gradient of its loss: the fault has been mended.")
    elif divided.ok:
        print("\nDivided by K = 3 the gradient is right: it is exactly K times that of the reported loss.")
    else:
        print("\nThe gradient is wrong, and not by a factor of K = 3.")
    return results


if __name__ == "__main__":
    main()
