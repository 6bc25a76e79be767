"""The text and the JSON of one small report, byte by byte.

``EVERYGRAD_GOLDEN=write`` writes the files anew. Numbers of the JSON are compared with 12 digits: the last ones are the
machine's rounding.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from everygrad import report
from everygrad.backprop import gradients
from everygrad.checks import check
from everygrad.networks import Elman, FeedForward, Recurrent

GOLDEN = Path(__file__).parent / "golden"


def layers():
    """Whole numbers, so that nearly every figure is exact."""
    net = FeedForward([2, 3, 2], activation="relu", loss="squared_error")
    params = {
        "W1": np.array([[1.0, -2.0], [2.0, 1.0], [-1.0, -1.0]]),
        "b1": np.array([0.5, 0.0, -1.0]),
        "W2": np.array([[1.0, 2.0, 1.0], [0.0, -1.0, 3.0]]),
        "b2": np.array([0.0, 1.0]),
    }
    return net, params, np.array([[1.0, 2.0], [2.0, -1.0], [-1.0, 0.5], [4.0, 1.0]]), np.array([[1.0, 0.0]] * 4)


def steps():
    net = Recurrent(Elman(1, 2, "identity"), outputs=1, loss="squared_error")
    params = {
        "U": np.array([[1.0], [2.0]]),
        "b": np.array([0.0, 1.0]),
        "W": np.array([[0.5, 0.0], [0.25, -0.5]]),
        "V": np.array([[1.0, -1.0]]),
        "b_V": np.array([0.5]),
    }
    return net, params, np.array([[[1.0], [2.0], [0.0]], [[-1.0], [0.0], [1.0]]]), np.array([[1.0], [2.0]])


def rounded(value):
    """Floats with 12 digits, in lists and objects too; what rounding leaves of a zero is no machine's own."""
    if isinstance(value, float):
        return float(f"{value:.12g}") if abs(value) > 1e-12 else 0.0
    if isinstance(value, list):
        return [rounded(part) for part in value]
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    return value


def made(case):
    net, params, x, y = {"layers": layers, "steps": steps}[case]()
    g = gradients(net, params, x, y)
    history = [
        {"epoch": 0, "loss": 2.0, "gradient_norms": {"W1": 1.5}},
        {"epoch": 1, "loss": 0.5, "validation_loss": 0.75},
    ]
    return report.build(
        net, g, history=history, data={"name": "four rows", "features": ["left", "right"]}, title="Golden"
    )


def compare(name, text):
    file = GOLDEN / name
    if os.environ.get("EVERYGRAD_GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8"), f"{name}: EVERYGRAD_GOLDEN=write writes it anew, if this is meant"


@pytest.mark.parametrize("case", ["layers", "steps"])
def test_the_text_is_the_same_byte_by_byte(case):
    compare(f"{case}.txt", report.to_text(made(case)))


@pytest.mark.parametrize("case", ["layers", "steps"])
def test_the_json_is_the_same_byte_by_byte(case):
    found = json.loads(report.to_json(made(case)))
    found["report"]["version"] = "any"
    compare(f"{case}.json", json.dumps(rounded(found), indent=1) + "\n")


def test_the_golden_networks_are_right():
    for net, params, x, y in (layers(), steps()):
        assert check(net, params, x, y).ok
