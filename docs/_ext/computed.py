"""Python in a page, run while the page is built: output stands below the code, and an exception ends the build.

A page has one namespace for all of its blocks, in the order of the text:

    ```{computed}
    x = 2.0
    print(x**5)
    ```

``:show: code`` or ``output`` shows one of the two, ``nothing`` neither; ``:html:`` puts the output into the page as it
is (a drawing), ``:wrap:`` breaks its lines where the page ends (prose). In a sentence {value}`f"{x:.3f}"` is the
expression's value. Warnings are exceptions here. A block {command} has one command line, which is run in an empty
folder; ``:exit:`` is the code it must end with.
"""

import contextlib
import io
import os
import shlex
import subprocess
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective, SphinxRole

SHOW = ("both", "code", "output", "nothing")
SOURCE = Path(__file__).parents[2] / "src"


def namespace(env: Any) -> dict[str, Any]:
    """The names of the page that is being read."""
    return env.temp_data.setdefault("computed", {"__name__": "page"})


def run(env: Any, code: str, path: str, line: int, mode: str = "exec") -> tuple[Any, str]:
    """The value (of an expression) and what was printed; raises `ExtensionError` with the page's own traceback."""
    printed = io.StringIO()
    try:
        compiled = compile("\n" * (line - 1) + code, path, mode, dont_inherit=True)
        shown = np.printoptions(precision=4, suppress=True, linewidth=88)
        with warnings.catch_warnings(), contextlib.redirect_stdout(printed), shown:
            warnings.simplefilter("error")
            value = eval(compiled, namespace(env))  # noqa: S307 (a page of ours)
    except Exception as error:
        raise ExtensionError(f"{path}:{line}: the page's code failed\n{traceback.format_exc()}") from error
    return value, printed.getvalue().rstrip()


class Computed(SphinxDirective):
    """The block."""

    has_content = True
    option_spec: ClassVar = {
        "show": lambda choice: directives.choice(choice, SHOW),
        "html": directives.flag,
        "wrap": directives.flag,
    }

    def run(self) -> list[nodes.Node]:
        """Code, then output; a block that is to show an output and prints nothing is a mistake."""
        code, show = "\n".join(self.content), self.options.get("show", "both")
        path, line = self.get_source_info()
        _, printed = run(self.env, code, path, max(self.content_offset + 1, line))
        found: list[nodes.Node] = []
        if show in ("both", "code"):
            found.append(nodes.literal_block(code, code, language="python", classes=["computed-code"]))
        if show == "output" and not printed:
            raise ExtensionError(f"{path}:{line}: this block prints nothing")
        if show in ("both", "output") and printed:
            found.append(
                nodes.raw("", printed, format="html")
                if "html" in self.options
                else nodes.literal_block(
                    printed,
                    printed,
                    language="text",
                    classes=["computed-output", *(["computed-wrapped"] if "wrap" in self.options else [])],
                )
            )
        for node in found:
            self.set_source_info(node)
        return found


class Command(SphinxDirective):
    """A command of the shell and what it prints."""

    has_content = True
    option_spec: ClassVar = {"exit": directives.nonnegative_int}

    def run(self) -> list[nodes.Node]:
        """The command line with its output."""
        path, line = self.get_source_info()
        text = "\n".join(self.content)
        name, *arguments = shlex.split(text)
        if name != "everygrad":
            raise ExtensionError(f"{path}:{line}: only everygrad's own command is run here, got {name}")
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), "NO_COLOR": "1", "COLUMNS": "96"}
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-m", "everygrad", *arguments],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode != self.options.get("exit", 0):
            raise ExtensionError(f"{path}:{line}: {text} ended with {done.returncode}\n{done.stderr}")
        shown = f"$ {text}\n{done.stdout.rstrip()}"
        node = nodes.literal_block(shown, shown, language="console", classes=["computed-command"])
        self.set_source_info(node)
        return [node]


class Value(SphinxRole):
    """A value in a sentence."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The expression's value as text."""
        path, line = self.get_source_info()
        value, _ = run(self.env, self.text.strip(), path, line, "eval")
        return [nodes.inline(self.rawtext, str(value), classes=["computed-value"])], []


def setup(app: Sphinx) -> dict[str, Any]:
    """The directives and the role."""
    app.add_directive("computed", Computed)
    app.add_directive("command", Command)
    app.add_role("value", Value())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
