"""Exit codes, and the one place where an error becomes a message and a code."""

from typing import final

from everygrad.errors import CheckFailed, EverygradError, FileFormatError, NonFiniteError

OK = 0
INTERNAL = 1
USAGE = 2
WRONG = 3
BAD_FILE = 4
NON_FINITE = 5
INTERRUPTED = 130

HELP = """\
Exit codes: 0 ok, 2 wrong usage or input, 3 a gradient is wrong, 4 a file that cannot be read or written,
5 NaN or infinity, 130 interrupted by Ctrl-C (what was reached is written all the same).
"""


@final
class Failure(Exception):  # noqa: N818 (ends the command, whatever the reason)
    """Ends the command with this message and this exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def code_of(error: BaseException) -> int:
    """The exit code for an error."""
    if isinstance(error, Failure):
        return error.code
    kinds: tuple[tuple[type[BaseException], int], ...] = (
        (FileFormatError, BAD_FILE),
        (NonFiniteError, NON_FINITE),
        (CheckFailed, WRONG),
        (EverygradError, USAGE),
        (MemoryError, USAGE),
        (OSError, BAD_FILE),
        (KeyboardInterrupt, INTERRUPTED),
    )
    return next((code for kind, code in kinds if isinstance(error, kind)), INTERNAL)


def message_of(error: BaseException) -> str:
    """What a person reads about an error."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, Failure | EverygradError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"there is not enough memory: {error or 'take a smaller network, or fewer samples'}"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return (
        f"{type(error).__name__}: {error}\n"
        "This is a fault of everygrad. EVERYGRAD_TRACEBACK=1 shows where it happened; please report it."
    )
