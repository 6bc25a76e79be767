"""The checker finds and names the K-fold gradient of scikit-learn's MLPRegressor."""

import numpy as np
import pytest
from sklearn.datasets import load_linnerud
from sklearn.neural_network import MLPRegressor

from examples import sklearn_k_fold_fault as example


@pytest.fixture(scope="module")
def results():
    return example.main()


def test_one_output_is_right(results):
    result, divided = results[1]
    assert result.ok
    assert divided.ok
    assert [row.name for row in result.rows] == ["W1", "b1", "W2", "b2", "W3", "b3"]


def test_three_outputs_are_three_times_too_large_and_the_fault_is_named(results):
    result, divided = results[3]
    assert divided.ok  # also if scikit-learn mends it, this test should be looked at again
    assert not result.ok
    assert result.culprit == "b3"
    for row in result.rows:
        assert row.error == pytest.approx(2.0, abs=1e-9)  # |3 g - g| / |g|
        assert row.fault.startswith("3 times the right gradient: K times: the mean over the outputs is missing")


def test_what_is_printed(capsys):
    example.main()
    out = capsys.readouterr().out
    assert "MLPRegressor with 1 output\n" in out
    assert "MLPRegressor with 3 outputs\n" in out
    assert "WRONG: 6 of 6 quantities." in out
    assert out.endswith("Divided by K = 3 the gradient is right: it is exactly K times that of the reported loss.\n")


def test_a_mended_scikit_learn_is_believed(monkeypatch, capsys):
    followed = example.followed

    def mended(model, x, y):
        reported, gradient = followed(model, x, y)
        return reported, {name: g / model.n_outputs_ for name, g in gradient.items()}

    monkeypatch.setattr(example, "followed", mended)
    results = example.main()
    assert results[3][0].ok
    assert "the fault has been mended" in capsys.readouterr().out


def test_the_step_is_the_gradient_that_scikit_learn_computes():
    """By one output, where it is right: against central differences of the loss that scikit-learn reports."""
    x, y = load_linnerud(return_X_y=True)
    x, y = (x - x.mean(0)) / x.std(0), (y[:, 0] - y[:, 0].mean()) / y[:, 0].std()
    settings = {"alpha": 0.0, "solver": "sgd", "momentum": 0.0, "learning_rate_init": 1.0, "batch_size": len(x)}
    model = MLPRegressor(hidden_layer_sizes=(4,), activation="tanh", random_state=0, **settings)
    model.partial_fit(x, y)
    W = model.coefs_[0].copy()
    start = [w.copy() for w in (*model.coefs_, *model.intercepts_)]
    reported, gradient = example.followed(model, x, y)

    def loss(i, j, step):
        for array, value in zip((*model.coefs_, *model.intercepts_), start, strict=True):
            array[...] = value
        model.coefs_[0][i, j] += step
        return 0.5 * np.mean((model.predict(x) - y) ** 2)

    assert loss(0, 0, 0.0) == pytest.approx(reported, rel=1e-13)
    for i, j in np.ndindex(W.shape):
        slope = (loss(i, j, 1e-5) - loss(i, j, -1e-5)) / 2e-5
        assert gradient["W1"][j, i] == pytest.approx(slope, rel=1e-6, abs=1e-9)
