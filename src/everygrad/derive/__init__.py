"""Derivations: the formula, the numbers and the check of a derivative, side by side, in the order of a lecture."""

from typing import TYPE_CHECKING, Any

from everygrad.derive.face import derive

if TYPE_CHECKING:
    from everygrad.derive.records import Derivation

__all__ = ["Derivation", "derive"]


def __getattr__(name: str) -> Any:
    """The record, when it is first asked for: what it needs would slow down `import everygrad`."""
    if name != "Derivation":
        raise AttributeError(f"module 'everygrad.derive' has no attribute {name!r}")
    from everygrad.derive.records import Derivation

    return Derivation
