"""What the README shows is what comes out."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)\n```", README, flags=re.DOTALL)


def without_rounding(text):
    """Errors near 1e-16 are the machine's rounding, and differ between machines; which is largest too."""
    text = re.sub(r"\d\.\de-1[4-9]", "(rounding)", text)
    return re.sub(r"largest error \(rounding\) \(\w+\)", "largest error (rounding)", text)


@pytest.mark.parametrize("place", [0, 2], ids=["an LSTM watched", "a network of ours"])
def test_an_example_prints_what_the_readme_shows(place):
    (first, code), (second, shown) = BLOCKS[place : place + 2]
    assert (first, second) == ("python", "text")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert without_rounding(run.stdout.rstrip()) == without_rounding(shown)
    assert run.stderr == ""


def test_the_recurrent_lines_work():
    code = (
        "import numpy as np\nimport everygrad as eg\nrng = np.random.default_rng(0)\n"
        "x, y = rng.normal(size=(2, 5, 8)), np.array([3, 1])\n"
    )
    first, rest = BLOCKS[5][1].split("\n", 1)
    code += f"{first}\nparams = net.init(0)\n{rest}\nprint(g['f'].shape, g.direct['h'].shape)\n"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "(2, 5, 32) (2, 5, 32)\n"


def test_the_graph_from_a_function_works():
    code = BLOCKS[4][1] + (
        "\nimport numpy as np\nx = np.ones((2, 3))\n"
        "params = {'W1': np.ones((4, 3)), 'b1': np.ones(4), 'W2': np.ones((3, 4))}\n"
        "assert eg.check(net, params, x, 0 * x).ok\nprint(list(eg.gradients(net, params, x, x)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'h1'" in run.stdout
    assert "'a2'" in run.stdout


def test_the_command_prints_what_the_readme_shows():
    kind, text = BLOCKS[6]
    assert kind == "console"
    command, shown = text.split("\n", 1)
    formula = re.findall(r'"(.*?)"', command)[0]
    assert command == f'$ everygrad paths "{formula}" --at x=2'
    arguments = [sys.executable, "-m", "everygrad", "paths", formula, "--at", "x=2"]
    run = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert run.stdout.rstrip() == shown


def test_what_the_readme_names_is_there():
    import everygrad as eg

    for name in set(re.findall(r"\beg\.(\w+)", README)):
        assert hasattr(eg, name), name
    for link in re.findall(r"\]\(([\w/.]+)\)", README):
        assert (ROOT / link).is_file(), link
