"""The table of operations: every one there is, by name, as files and formulas refer to it."""

from collections.abc import Callable, Mapping
from typing import Any

from everygrad.errors import unknown_name
from everygrad.graph.affine import Affine
from everygrad.graph.arithmetic import Add, Divide, Multiply, Subtract
from everygrad.graph.arrange import Concatenate, Dot, Flatten, Select, Sum, Transpose
from everygrad.graph.elementwise import RULES, Elementwise
from everygrad.graph.losses import BinaryCrossEntropy, Reduce, SoftmaxCrossEntropy, SquaredError
from everygrad.graph.operation import Operation
from everygrad.graph.sequence import AtStep, Embedding, KeepSteps, MeanOverTime, StepWeight
from everygrad.graph.time.scan import Scan


def _elementwise(rule: str) -> Callable[..., Operation]:
    return lambda **constants: Elementwise(rule, **constants)


ELEMENTWISE: Mapping[str, Callable[..., Operation]] = {name: _elementwise(name) for name in RULES}

LOSSES: Mapping[str, Callable[..., Operation]] = {
    operation.name: operation for operation in (SoftmaxCrossEntropy, BinaryCrossEntropy, SquaredError)
}

OPERATIONS: Mapping[str, Callable[..., Operation]] = {
    **ELEMENTWISE,
    **{o.name: o for o in (Add, Subtract, Multiply, Divide)},
    Affine.name: Affine,
    **{o.name: o for o in (Select, Concatenate, Flatten, Transpose, Sum, Dot)},
    Scan.name: Scan,
    **{o.name: o for o in (Embedding, AtStep, MeanOverTime, KeepSteps, StepWeight)},
    **LOSSES,
    Reduce.name: Reduce,
}
"""name -> constructor; ``OPERATIONS[op.name](**op.attributes)`` is the operation again."""


def operation(name: str, table: Mapping[str, Callable[..., Operation]] = OPERATIONS, **attributes: Any) -> Operation:
    """The operation of this name; an unknown name is answered with the nearest."""
    if name not in table:
        what = "activation" if table is ELEMENTWISE else "loss" if table is LOSSES else "operation"
        raise unknown_name(what, name, table)
    return table[name](**attributes)
