"""The command in this process, with its streams apart, and in one of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from click.testing import CliRunner, Result

from everygrad.cli.app import everygrad_command

ROOT = Path(__file__).parents[2]

# SIGINT is set because whoever started the tests may have told its children to ignore it
START = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from everygrad.cli import main; main()"
)
COMMAND = [sys.executable, "-W", "error", "-c", START]


def run(*args: object) -> Result:
    """stdout, stderr and exit code of one command."""
    return CliRunner().invoke(everygrad_command, [str(a) for a in args], prog_name="everygrad")


def environment(**more: str) -> dict[str, str]:
    plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "EVERYGRAD_TRACEBACK")}
    return {**plain, "PYTHONPATH": str(ROOT / "src"), **more}


def start(*args: object, env: Mapping[str, str] | None = None, **options: object) -> subprocess.Popen:
    """A process of its own, with pipes."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": env or environment()}
    return subprocess.Popen([*COMMAND, *map(str, args)], **{**pipes, **options})


def process(*args: object, **env: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a process of its own."""
    with start(*args, env=environment(**env)) as running:
        out, errors = running.communicate(timeout=120)
    return running.returncode, out, errors
