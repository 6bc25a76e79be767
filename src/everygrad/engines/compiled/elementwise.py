"""NumPy's functions of each element -> how they are written for vectors."""

import numpy as np

from everygrad.engines.compiled.functions import Functions
from everygrad.engines.program.recorded import NotRecordableError, Operand

_ARITHMETIC = {"add": "fadd", "subtract": "fsub", "multiply": "fmul", "divide": "fdiv", "true_divide": "fdiv"}
COMPARISONS = {
    "greater": "ogt",
    "greater_equal": "oge",
    "less": "olt",
    "less_equal": "ole",
    "equal": "oeq",
    "not_equal": "une",
}
_LOGIC = {"bitwise_and": "and", "bitwise_or": "or", "logical_and": "and", "logical_or": "or", "bitwise_xor": "xor"}
_EXTREMES = {"minimum": "olt", "maximum": "ogt"}
_LLVM = {"absolute": "fabs", "abs": "fabs", "fabs": "fabs", "sqrt": "sqrt", "log": "log", "sin": "sin", "cos": "cos"}
_LIBRARY = {"expm1": "expm1", "log1p": "log1p", "erfc": "erfc"}
CONDITIONS = COMPARISONS.keys() | _LOGIC.keys() | {"invert", "logical_not"}
"""Functions whose result is a condition."""
NAMES = frozenset(
    {*_ARITHMETIC, *_EXTREMES, *_LLVM, *_LIBRARY, *CONDITIONS, "where", "astype", "**", "power", "exp", "tanh"}
    | {"negative", "positive", "square", "reciprocal"}
)
"""All of them."""


def written(f: Functions, name: str, operands: list[str], conditions: list[bool]) -> str:
    """The result of one function of vectors; ``conditions``: which operands are truth values."""
    if name in ("where", "astype"):
        if conditions != [name == "where" or conditions[0], False, False][: len(operands)]:
            raise NotRecordableError(f"{name} of conditions")
        if name == "where":
            return f.select(*operands)
        return f.as_number(operands[0]) if conditions[0] else operands[0]
    if name in _LOGIC and all(conditions):
        return f.logic(_LOGIC[name], *operands)
    if name in ("invert", "logical_not") and all(conditions):
        return f.invert(*operands)
    if any(conditions):
        raise NotRecordableError(f"{name} of conditions")
    if name in _ARITHMETIC:
        return f.two(_ARITHMETIC[name], *operands)
    if name in COMPARISONS:
        return f.compare(COMPARISONS[name], *operands)
    if name in _EXTREMES:
        return f.extreme(_EXTREMES[name], *operands)
    if name in _LLVM:
        return f.one(_LLVM[name], *operands)
    if name in _LIBRARY:
        return f.library(_LIBRARY[name], *operands)
    if name == "**" or name == "power":
        return f.power(*operands)
    match name:
        case "exp":
            return f.exp(*operands)
        case "tanh":
            return f.tanh(*operands)
        case "negative":
            return f.negative(*operands)
        case "positive":
            return operands[0]
        case "square":
            return f.two("fmul", operands[0], operands[0])
        case "reciprocal":
            return f.two("fdiv", f.number(1.0), operands[0])
    raise NotRecordableError(name)


def constant(operand: Operand) -> float | None:
    """A number among the operands; None for anything else."""
    if isinstance(operand, bool) or not isinstance(operand, int | float | np.number):
        return None
    return float(operand)
