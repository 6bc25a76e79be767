"""What the gradients say about a network: its units, the flow from layer to layer and over time, and a verdict."""

from everygrad.diagnose.finding import Finding, Level, worst
from everygrad.diagnose.flow import LayerFlow, flow
from everygrad.diagnose.over_time import LayerOverTime, Series, Slopes, over_time
from everygrad.diagnose.thresholds import THRESHOLDS, Thresholds
from everygrad.diagnose.units import LayerUnits, units
from everygrad.diagnose.unrolled import Keeper, Squash, Unrolled, unroll, unrolled
from everygrad.diagnose.verdict import Verdict, verdict, verdict_over_time

__all__ = [
    "THRESHOLDS",
    "Finding",
    "Keeper",
    "LayerFlow",
    "LayerOverTime",
    "LayerUnits",
    "Level",
    "Series",
    "Slopes",
    "Squash",
    "Thresholds",
    "Unrolled",
    "Verdict",
    "flow",
    "over_time",
    "units",
    "unroll",
    "unrolled",
    "verdict",
    "verdict_over_time",
    "worst",
]
