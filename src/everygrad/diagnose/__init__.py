"""What the gradients say about a network: its units, the flow from layer to layer, and a verdict."""

from everygrad.diagnose.finding import Finding, Level, worst
from everygrad.diagnose.flow import LayerFlow, flow
from everygrad.diagnose.thresholds import THRESHOLDS, Thresholds
from everygrad.diagnose.units import LayerUnits, units
from everygrad.diagnose.verdict import Verdict, verdict

__all__ = [
    "THRESHOLDS",
    "Finding",
    "LayerFlow",
    "LayerUnits",
    "Level",
    "Thresholds",
    "Verdict",
    "flow",
    "units",
    "verdict",
    "worst",
]
