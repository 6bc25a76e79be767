"""The errors that everygrad raises: each says what came, what was expected and what to do."""

import difflib
from collections.abc import Iterable


class EverygradError(Exception):
    """Base of every error raised on purpose by this library."""


class InputError(EverygradError, ValueError):
    """An argument does not fit: a shape, a dtype, a label, a name, a file's content."""


class UnknownNameError(InputError, KeyError):
    """A name that is not in the graph or in a table of choices."""

    __str__ = Exception.__str__  # KeyError would print the message's repr


class NonFiniteError(EverygradError, ArithmeticError):
    """A NaN or an infinity at the boundary or inside the computation."""


class TooLargeError(EverygradError, MemoryError):
    """A dense array was asked for that would be larger than the stated size."""


class FileFormatError(EverygradError, ValueError):
    """A file is truncated, too large, of another kind, or holds what we do not read."""


class UnsupportedError(EverygradError, NotImplementedError):
    """A model from elsewhere holds something that has no counterpart here."""


class CheckFailed(EverygradError, AssertionError):  # noqa: N818 (reads as what happened)
    """A quantity differs from its oracle by more than the tolerance."""


def unknown_name(what: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """The error for a name that is not known, with the nearest known name and the whole list."""
    choices = sorted(known)
    folded = {choice.lower(): choice for choice in reversed(choices)}
    near = [folded[n] for n in difflib.get_close_matches(str(name).lower(), folded, n=1, cutoff=0.5)]
    hint = f" Did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(choices[:40]) + (", ..." if len(choices) > 40 else "")
    return UnknownNameError(f"unknown {what} {name!r}.{hint} Known: {shown}.")


def all_mismatches(where: str, problems: list[str], error: type[EverygradError] = InputError) -> None:
    """Raise one error that lists every problem found, or return if there is none."""
    if not problems:
        return
    head = f"{where}: {len(problems)} problem{'s' if len(problems) > 1 else ''}"
    raise error("\n  - ".join([head, *problems]))
