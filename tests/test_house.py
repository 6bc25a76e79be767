"""The rules of the house that a tool can hold: sizes, docstrings, mirrors, no pickle, no machine's own paths."""

import ast
import importlib
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import TypeCheckError

import everygrad
from everygrad.engines.numerics import sigmoid_slope

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "everygrad"
MODULES = sorted(SOURCE.rglob("*.py"))
PACKAGES = sorted({path.parent for path in MODULES})
ROOMS = [folder for folder in PACKAGES if folder.parent == SOURCE]

MOST_LINES = 400

PUBLISHED = ("src", "docs", "examples", "benchmarks", "scripts")
TEXT = {".cfg", ".cff", ".css", ".csv", ".html", ".ipynb", ".js", ".json", ".md", ".py", ".svg", ".toml", ".txt"}
MACHINE_PATH = re.compile(r"(?<![\w./<~}-])/(?:root|home|work|tmp|Users)(?=/|\b)")

UNSAFE_MODULES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def published_files() -> list[Path]:
    below = [path for folder in PUBLISHED for path in (ROOT / folder).rglob("*") if path.suffix in TEXT]
    at_the_top = [path for path in ROOT.iterdir() if path.suffix in TEXT or path.name == "Makefile"]
    return sorted(below + at_the_top)


def unsafe_calls(source: str) -> list[str]:
    """Every place where Python source could unpickle a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        found += [f"import {name}" for name in names if name.partition(".")[0] in UNSAFE_MODULES]
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            safe = any(k.arg == "allow_pickle" and ast.unparse(k.value) == "False" for k in node.keywords)
            if called in ("np.load", "numpy.load") and not safe:
                found.append(f"{called} without allow_pickle=False")
            if called == "torch.load" or called.endswith(".read_pickle"):
                found.append(called)
    return found


def test_the_source_was_found():
    assert SOURCE / "errors.py" in MODULES
    assert SOURCE / "engines" in ROOMS
    assert SOURCE / "__init__.py" in published_files()


def test_no_file_is_too_long():
    lengths = {relative(path): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_no_machine_path_is_published():
    places = [
        f"{relative(path)}:{number}: {line.strip()}"
        for path in published_files()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if MACHINE_PATH.search(line)
    ]
    assert places == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("see /" + "root/x", True),
        ("'/" + "home/somebody'", True),
        ("cd /" + "work", True),
        ("=/" + "tmp/a.html", True),
        ("https://example.org/home/page", False),
        ("forward/backward, a/work", False),
        ("</" + "root>", False),
    ],
)
def test_the_search_for_machine_paths_sees_one(line: str, found: bool):
    assert bool(MACHINE_PATH.search(line)) is found


@pytest.mark.parametrize("folder", PACKAGES, ids=relative)
def test_a_package_says_what_it_is_for(folder: Path):
    init = folder / "__init__.py"
    assert init.is_file(), f"{relative(folder)} has no __init__.py"
    assert ast.get_docstring(ast.parse(init.read_text("utf-8"))), f"{relative(init)} has no docstring"


@pytest.mark.parametrize("room", ROOMS, ids=relative)
def test_the_tests_mirror_the_source(room: Path):
    mirror = ROOT / "tests" / room.name
    assert list(mirror.rglob("test_*.py")), f"{relative(room)} has no tests in {relative(mirror)}"


@pytest.mark.parametrize("module", MODULES, ids=relative)
def test_nothing_is_unpickled(module: Path):
    assert unsafe_calls(module.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "planted",
    [
        "import pickle",
        "def f():\n    from pickle import loads",
        "import joblib.numpy_pickle",
        "np.load(file)",
        "numpy.load(file, allow_pickle=True)",
        "torch.load(file, weights_only=True)",
        "pd.read_pickle(file)",
    ],
)
def test_the_search_for_unpickling_sees_one(planted: str):
    assert len(unsafe_calls(planted)) == 1


def test_loading_without_pickle_is_allowed():
    assert unsafe_calls("import json\nnp.load(file, allow_pickle=False)") == []


def test_ci_runs_what_a_developer_runs():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    commands = [line for line in script.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    assert commands == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "exec make test"]


def test_the_citation_names_this_version():
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert re.findall(r"^version: (.+)$", citation, flags=re.MULTILINE) == [everygrad.__version__]


PLANTED_MODULE = """
from typing import Any

from jaxtyping import Float


def rows(x: Float[Any, "batch n"], weight: Float[Any, "m n"]) -> Float[Any, "batch m"]:
    return x @ weight.T


def planted(x: Float[Any, "batch n"], weight: Float[Any, "m n"]) -> Float[Any, "batch m"]:
    return weight @ x.T
"""


@pytest.fixture
def planted_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A module inside the package, imported as the package's own modules are."""
    name = "everygrad.planted_shapes"
    (tmp_path / "planted_shapes.py").write_text(PLANTED_MODULE, "utf-8")
    monkeypatch.setattr(everygrad, "__path__", [*everygrad.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    yield importlib.import_module(name)
    del sys.modules[name], everygrad.planted_shapes


def test_shapes_are_checked_while_the_tests_run(planted_module):
    """Without the import hook of pyproject's --jaxtyping-packages this fails."""
    x, weight = np.ones((5, 3)), np.ones((2, 3))
    np.testing.assert_array_equal(planted_module.rows(x, weight), np.full((5, 2), 3.0))
    with pytest.raises(TypeCheckError, match="parameters"):
        planted_module.rows(x, weight.T)
    with pytest.raises(TypeCheckError, match="return value"):
        planted_module.planted(x, weight)


def test_the_shapes_of_the_package_itself_are_checked():
    np.testing.assert_array_equal(sigmoid_slope(np.zeros(3), np.full(3, 0.5)), np.full(3, 0.25))
    with pytest.raises(TypeCheckError, match="parameters"):
        sigmoid_slope(np.zeros(3), np.full(4, 0.5))
