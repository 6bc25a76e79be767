"""Four outputs of one record: the same numbers in all, nothing from outside as markup, golden files byte for byte."""

import os
import re
import shutil
import subprocess
import unicodedata
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import everygrad as eg
from everygrad.derive import Derivation
from everygrad.derive import expr as e
from everygrad.derive.latex import LATEX, escaped
from everygrad.derive.notation import digits
from everygrad.derive.records import Equations, Part, Prose, Table
from everygrad.derive.text import DISPLAY, inline
from tests.derive.graphs import ALL, TEN

GOLDEN = Path(__file__).parent / "golden"
FORMS = {"txt": Derivation.to_text, "md": Derivation.to_markdown, "tex": Derivation.to_latex}


@pytest.mark.parametrize("key", TEN)
@pytest.mark.parametrize("form", FORMS)
def test_golden_files(key: str, form: str):
    """EVERYGRAD_GOLDEN=write makes them anew: then look at the difference."""
    path = GOLDEN / f"{key}.{form}"
    d = TEN[key].derive()
    content = FORMS[form](d).encode()
    assert not [x for x in d.numbers() if 0 < abs(x) < 1e-9]  # what rounding leaves of a zero is no machine's own
    if os.environ.get("EVERYGRAD_GOLDEN") == "write":
        path.write_bytes(content)
    assert path.read_bytes() == content


def plain_numbers(text: str) -> str:
    """LaTeX's and MathML's powers of ten as 1e-05."""
    text = re.sub(r" \\times 10\^\{(-?\d+)\}", lambda m: f"e{int(m[1]):+03d}", text)
    power = r"<mo>×</mo><msup><mn>10</mn><mn>(-?\d+)</mn></msup>"
    text = re.sub(rf"</mn>{power}", lambda m: f"e{int(m[1]):+03d}</mn>", text)
    return re.sub(r"\\frac\{(\d+)\}\{(\d+)\}", r"\1/\2", re.sub(r"<mo>−</mo><mn>", "<mn>-", text))


@pytest.mark.parametrize("key", ALL)
def test_all_outputs_have_all_numbers(key: str):
    d = ALL[key].derive()
    wanted = {digits(x).removeprefix("-") for x in d.numbers() if isinstance(x, float)}
    outputs = [d.to_text(), d.to_latex(), d.to_html(), d.to_markdown()]
    for output in map(plain_numbers, outputs):
        found = set(re.findall(r"\d+(?:\.\d+)?(?:e[+-]\d+)?", output))
        missing = wanted - found
        assert len(missing) <= (0 if key != "long" else 12), missing  # of a long sum the middle is left out


@pytest.mark.parametrize("key", ALL)
def test_the_page_is_well_formed_and_fetches_nothing(key: str):
    page = ALL[key].derive().to_html()
    body = re.sub(r"<!DOCTYPE html>|<meta[^>]*>", "", page)
    root = ET.fromstring(body)
    assert root.tag == "html"
    assert {"math", "mfrac"} <= {node.tag for node in root.iter()}
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|src=|href=|<script|@import|url\(", page)


@pytest.mark.parametrize("key", ALL)
def test_latex_is_plain_ascii_and_balanced(key: str):
    source = ALL[key].derive().to_latex()
    assert source.isascii()
    assert "U+" not in source
    depth = 0
    for mark in re.findall(r"(?<!\\)[{}]", source):
        depth += 1 if mark == "{" else -1
        assert depth >= 0
    assert depth == 0
    assert len(re.findall(r"\\left\b", source)) == len(re.findall(r"\\right\b", source))


# --------------------------------------------------------------------------------- hostile names

HOSTILE = (
    "<script>alert(1)</script>",
    "a&b\"'",
    r"\input{/etc/passwd}",
    "$x$ % ^ ~ # _ {",
    "`*_[l](u)|",
    "x\u202e\x07\nq",
    "Ж漢é",
)


def hostile_graph() -> tuple[eg.Graph, dict[str, np.ndarray], np.ndarray, np.ndarray]:
    def f(x, y, *, W):
        h = x
        for name in HOSTILE:
            h = eg.ops.tanh(W @ h).named(name)
        return eg.ops.squared_error(h, y)

    return eg.graph(f), {"W": np.array([[0.5, -0.2], [0.1, 0.4]])}, np.array([[1.0, 2.0]]), np.array([[0.0, 1.0]])


def test_hostile_names_are_text_in_every_output():
    d = eg.derive(*_with(hostile_graph(), None))
    page = d.to_html()
    root = ET.fromstring(re.sub(r"<!DOCTYPE html>|<meta[^>]*>", "", page))
    assert not [node for node in root.iter() if node.tag == "script"]
    assert "".join(root.itertext()).count("<script>alert(1)</script>") > 0
    source = d.to_latex()
    assert r"\input" not in source
    assert source.isascii()
    for output in (d.to_text(), page, source, d.to_markdown()):
        assert not [c for c in output if unicodedata.category(c) in ("Cc", "Cf") and c != "\n"]
    markdown = d.to_markdown()
    assert "<script>" not in markdown
    for name in HOSTILE:
        one = eg.derive(*_with(hostile_graph(), (name, 1)))
        assert one.ok
        ET.fromstring(re.sub(r"<!DOCTYPE html>|<meta[^>]*>", "", one.to_html()))


def _with(given: tuple, wrt: object) -> tuple:
    graph, *rest = given
    return (graph, wrt, *rest)


# ------------------------------------------------------------------------------------------ LaTeX

NO_LATEX = "pdflatex is not installed: apt-get install texlive-latex-base texlive-latex-recommended"


def compiled(source: str, folder: Path) -> str:
    """pdflatex's log; a failure is shown with it."""
    (folder / "d.tex").write_text(source, "utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "d.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout[-3000:]
    assert (folder / "d.pdf").stat().st_size > 10_000
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason=NO_LATEX)
@pytest.mark.parametrize("key", ALL)
def test_latex_compiles_and_fits_the_page(key: str, tmp_path: Path):
    log = compiled(ALL[key].derive().to_latex(), tmp_path)
    wide = [float(w) for w in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)", log)]
    assert [w for w in wide if w > 20] == []
    assert "Missing character" not in log


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason=NO_LATEX)
def test_latex_of_hostile_names_compiles(tmp_path: Path):
    compiled(eg.derive(*_with(hostile_graph(), None)).to_latex(), tmp_path)


# ------------------------------------------------------------------------------------ small pieces


def test_matrices_stand_beside_each_other():
    M = e.Matrix(((e.Number(1), e.Number(-2)), (e.Number(3), e.Number(4)), (e.Number(5), e.Number(6))))
    box = DISPLAY.show(e.equal(e.Name("x"), M))
    assert box.lines == ("    [1  -2]", "x = [3   4]", "    [5   6]")
    assert inline(M) == "[[1, -2], [3, 4], [5, 6]]"


def test_latex_of_a_few_formulas():
    W, g = e.Name("W2", shape=(2, 3)), e.Partial(e.Name("L"), e.Name("a2"))
    assert LATEX.show(e.Product((e.Transpose(W), g), "@")) == r"{W_{2}}^{\top} \, \frac{\partial L}{\partial a_{2}}"
    assert LATEX.show(e.Name("h", "k-1", ("r",))) == "h_{k-1}[r]"
    assert LATEX.show(e.Name("a_f", "2")) == "a_{f,2}"
    assert LATEX.show(e.Number(-1.5e-7)) == r"-1.5 \times 10^{-7}"
    assert escaped("50% & \\x_1") == r"50\% \& \textbackslash{}x\_\allowbreak{}1"


def test_a_derivation_is_shown_by_a_notebook():
    d = TEN["formula"].derive()
    fragment = d._repr_html_()
    assert fragment.startswith("<h1>")
    assert "<html" not in fragment
    assert fragment in d.to_html()
    assert repr(d) == "Derivation(∂z/∂x; 7 parts; right)"
    assert str(d) == d.to_text()


def test_a_wrong_derivation_is_marked():
    blocks = (Prose(("x",)), Equations((e.Name("x"),)), Table(("a",), (("b",),)))
    d = Derivation("t", None, (Part("p", blocks),), 1.0, 2.0, 1.0, 1e-13, ("no",), False)
    assert 'class="check wrong"' in d.to_html()
    assert repr(d).endswith("WRONG)")
    assert d.as_dict()["ok"] is False
