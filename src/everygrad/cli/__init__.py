"""The command: ``everygrad report|train|check|paths|shapes``.

Results go to stdout, progress and everything that went wrong to stderr. Exit codes: see `everygrad.cli.exits`.
"""

from everygrad.cli.app import main

__all__ = ["main"]
