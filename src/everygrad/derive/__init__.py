"""Derivations: the formula, the numbers and the check of a derivative, side by side, in the order of a lecture."""

from everygrad.derive.face import derive
from everygrad.derive.records import Derivation

__all__ = ["Derivation", "derive"]
