"""The graph of named quantities, and the one table of operations that join them."""

from everygrad.graph import ops
from everygrad.graph.graph import Graph, Node
from everygrad.graph.operation import Operation, Shape, ShapeProblem
from everygrad.graph.symbol import Builder, Symbol, graph
from everygrad.graph.table import ELEMENTWISE, LOSSES, OPERATIONS, operation

__all__ = [
    "ELEMENTWISE",
    "LOSSES",
    "OPERATIONS",
    "Builder",
    "Graph",
    "Node",
    "Operation",
    "Shape",
    "ShapeProblem",
    "Symbol",
    "graph",
    "operation",
    "ops",
]
