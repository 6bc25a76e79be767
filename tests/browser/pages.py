"""The pages that the browser opens, each made once per process."""

from functools import cache

import numpy as np
from sklearn.datasets import load_digits

import everygrad as eg
from everygrad import report
from everygrad.report import Report
from tests.report.cases import made

EPOCHS = [
    {
        "epoch": e,
        "loss": 2.0 / e,
        "accuracy": 1 - 0.5 / e,
        "validation_loss": 2.1 / e,
        "validation_accuracy": 1 - 0.6 / e,
        "gradient_norms": {"W1": 1.0 / e, "W2": 0.5 / e, "W3": 0.2 / e},
    }
    for e in range(1, 31)
]


@cache
def record(kind: str) -> Report:
    """The record of one of the kinds of tests/report/cases.py."""
    return made(kind)


@cache
def page(*kinds: str) -> str:
    """The page of one network, or of several side by side."""
    return report.to_html(*map(record, kinds))


@cache
def demo() -> str:
    """The networks of `make demo` on its images, untrained."""
    digits = load_digits()
    images, labels = digits.data[:128] / 16, digits.target[:128]
    data = {"name": "digits", "classes": [str(i) for i in range(10)], "features": [f"pixel {i}" for i in range(64)]}
    reports = []
    for net, epochs in (
        (eg.FeedForward([64, 32, 16, 10]), 30),
        (eg.Recurrent(eg.Elman(1, 32, activation="sigmoid"), outputs=10), 4),
        (eg.Recurrent(eg.LSTM(1, 32), outputs=10), 5),
    ):
        x = images if isinstance(net, eg.FeedForward) else images[:, :, None]
        g = eg.gradients(net, net.init(0), x, labels)
        reports.append(report.build(net, g, data=data, history=EPOCHS[:epochs]))
    return report.to_html(*reports)


@cache
def large() -> str:
    """A deep and wide chain and a long sequence side by side."""
    rng = np.random.default_rng(0)
    chain = eg.FeedForward([64, *[512] * 10, 10])
    long = eg.Recurrent(eg.LSTM(1, 24), outputs=10)
    labels = rng.integers(0, 10, 16)
    one = eg.gradients(chain, chain.init(0), rng.normal(size=(16, 64)), labels)
    two = eg.gradients(long, long.init(0), rng.normal(size=(16, 2000, 1)), labels)
    return report.to_html(report.build(chain, one), report.build(long, two))
