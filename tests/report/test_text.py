"""The plain text: the same facts, aligned, without escape sequences."""

import re

import pytest

from everygrad import report
from tests.report.cases import ALL, made


@pytest.mark.parametrize("kind", ALL)
def test_every_quantity_with_its_norm_and_no_escape_sequence(kind):
    r = made(kind)
    text = report.to_text(r)
    assert "\x1b" not in text
    assert text.endswith("\n")
    assert not re.search(r"[ \t]$", text, re.MULTILINE)
    assert r.verdict.headline.removeprefix("Healthy: ")[1:] in text
    for q in r.quantities:
        assert re.search(rf"^{re.escape(q.name)} +{q.role} .*{re.escape(f'{q.norm:.4g}')}", text, re.MULTILINE)


GOLDEN = """\
Gradients of a network
======================
OK: The gradient reaches a1, the only layer.

Network     FeedForward 5-3, tanh, softmax_cross_entropy, 18 parameters
"""


def test_the_beginning_is_the_verdict():
    text = report.to_text(made("linear"))
    assert text.startswith(GOLDEN.replace("tanh", "no hidden layer"))


def test_columns_are_aligned():
    text = report.to_text(made("checked"))
    lines = text[text.index("All gradients") :].split("\n\n")[0].splitlines()[2:]
    end = lines[0].index("norm of gradient") + len("norm of gradient")
    assert set(lines[1]) == {"-"}
    for line in lines[2:]:
        assert line[end - 1].isdigit()
        assert line[end : end + 2] == "  "


def test_the_training_lists_each_epoch():
    text = report.to_text(made("checked"))
    rows = text[text.index("Training\n") :].splitlines()
    assert " ".join(rows[2].split()) == ("epoch loss accuracy validation loss validation accuracy ‖∇W1‖ ‖∇b1‖ ‖∇W2‖")
    assert rows[5].split() == ["2", "1", "75", "%", "1.25", "70", "%", "0.5", "0.05", "0.25"]
    assert "Held-out accuracy" in text
    assert "88 % (epoch 5 of 6 epochs, lowest validation loss)" in text
