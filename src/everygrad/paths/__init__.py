"""Paths from an element to the loss: ranked, priced, with a remainder, so that they add up to the gradient."""

from everygrad.paths.find import paths
from everygrad.paths.records import Path, Paths, Unit, unit_label

__all__ = ["Path", "Paths", "Unit", "paths", "unit_label"]
