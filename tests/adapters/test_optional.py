"""The room of the adapters loads no library that it is not asked for, and names one that is not there."""

import subprocess
import sys
from pathlib import Path

SOURCE = str(Path(__file__).parents[2] / "src")


def run(program):
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {SOURCE!r})\n" + program]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_nothing_is_loaded_until_it_is_asked_for():
    lines = run(
        "import everygrad.adapters as a\n"
        "print([m for m in ('torch', 'sklearn', 'jax') if m in sys.modules])\n"
        "a.from_sklearn\n"
        "print([m for m in ('torch', 'sklearn', 'jax') if m in sys.modules])"
    )
    assert lines == ["[]", "['sklearn']"]


def test_what_is_not_installed_is_named():
    lines = run(
        "class Missing:  # as if they were not installed\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('torch', 'sklearn', 'anywidget'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "import everygrad.adapters as a\n"
        "for name in ('from_torch', 'from_sklearn', 'watch', 'ReportWidget'):\n"
        "    try:\n"
        "        getattr(a, name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        print(error)\n"
        "try:\n"
        "    a.from_keras\n"
        "except AttributeError as error:\n"
        "    print(error)"
    )
    assert lines == [
        "from_torch needs torch, which is not installed: pip install 'everygrad[torch]'",
        "from_sklearn needs sklearn, which is not installed: pip install 'everygrad[sklearn]'",
        "watch needs torch, which is not installed: pip install 'everygrad[torch]'",
        "ReportWidget needs anywidget, which is not installed: pip install 'everygrad[jupyter]'",
        "module 'everygrad.adapters' has no attribute 'from_keras'",
    ]
