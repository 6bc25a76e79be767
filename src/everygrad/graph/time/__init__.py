"""Time as an operation: a cell run over a sequence, and backpropagation through time as its derivative."""

from everygrad.graph.time.cell import Cell, cell
from everygrad.graph.time.run import Run, run
from everygrad.graph.time.scan import Scan
from everygrad.graph.time.segments import Segments
from everygrad.graph.time.sweep import Sweep, sweep

__all__ = ["Cell", "Run", "Scan", "Segments", "Sweep", "cell", "run", "sweep"]
