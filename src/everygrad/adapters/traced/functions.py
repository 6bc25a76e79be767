"""The table of torch's functions and methods by name, and a call of one."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from everygrad.adapters.torch_parts import LOGITS
from everygrad.adapters.traced import arithmetic, compute, rearrange, shaping
from everygrad.adapters.traced.building import Building
from everygrad.adapters.traced.values import Refused, Value, what_is

_UNARY = ("tanh", "sigmoid", "exp", "log", "sqrt", "sin", "cos", "square", "relu", "silu")
_IN_PLACE = ("iadd", "isub", "imul", "itruediv")

COMPUTE: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        **{name: compute.activation(name) for name in _UNARY},
        "gelu": compute.gelu,
        "elu": compute.elu,
        "leaky_relu": compute.leaky_relu,
        "softplus": compute.softplus,
        "add": compute.add,
        **dict.fromkeys(("sub", "subtract"), compute.subtract),
        "rsub": compute.subtract_from,
        **dict.fromkeys(("mul", "multiply"), compute.multiply),
        **dict.fromkeys(("div", "divide", "true_divide", "truediv"), compute.divide),
        **dict.fromkeys(("neg", "negative"), compute.negative),
        "pow": compute.power,
        **dict.fromkeys(("matmul", "mm"), arithmetic.matmul),
        "linear": compute.linear,
        "embedding": compute.embedding,
        "mean": compute.mean,
        "sum": compute.total,
        **dict.fromkeys(("cat", "concat", "concatenate"), rearrange.cat),
        "stack": rearrange.stack,
        "clone": rearrange.same,
    }
)
"""Those that give a tensor of their own."""

HANDLERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        **COMPUTE,
        "iadd": compute.add,
        "isub": compute.subtract,
        "imul": compute.multiply,
        "itruediv": compute.divide,
        "dropout": compute.dropout,
        **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge"), compute.compare),
        "chunk": rearrange.chunk,
        "split": rearrange.split,
        "unbind": rearrange.unbind,
        "select": rearrange.select,
        "getitem": rearrange.item,
        **dict.fromkeys(("transpose", "swapaxes", "swapdims"), rearrange.transpose),
        "t": rearrange.flipped,
        "permute": rearrange.permute,
        "squeeze": rearrange.squeeze,
        "unsqueeze": shaping.unsqueezed,
        **dict.fromkeys(("view", "reshape"), rearrange.view),
        "flatten": rearrange.flatten,
        "size": rearrange.size,
        "dim": rearrange.rank,
        "getattr": rearrange.attribute,
        "zeros": rearrange.zeros,
        "new_zeros": rearrange.new_zeros,
        "zeros_like": rearrange.zeros_like,
        **dict.fromkeys(("contiguous", "type_as", "cuda", "cpu"), rearrange.same),
        "to": rearrange.to,
        "float": rearrange.conversion(torch.float32),
        "double": rearrange.conversion(torch.float64),
        "long": rearrange.conversion(torch.int64),
        "int": rearrange.conversion(torch.int32),
        "detach": rearrange.detach,
        "requires_grad_": rearrange.only_zeros,
        "_assert": rearrange.nothing,
    }
)
"""All that are read; the others give views of their input, sizes, or nothing."""

_OF_TENSORS = frozenset(
    {
        *("mean", "sum", "dim", "chunk", "split", "unbind", "select", "permute", "squeeze", "unsqueeze"),
        *("view", "reshape", "flatten"),
    }
)
"""Those whose first argument must be a tensor that depends on the data."""

_REPEATED = "a quantity of each sample cannot be repeated over steps"
_OVER_TIME = "over time, the last step or the mean is read"
_HINTS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("softmax", "log_softmax"), LOGITS),
        **dict.fromkeys(("expand", "repeat", "expand_as", "repeat_interleave"), _REPEATED),
        **dict.fromkeys(("max", "amax", "min", "amin", "argmax"), _OVER_TIME),
        **dict.fromkeys(("flip", "roll"), "bidirectional=True reads a sequence from its end"),
        **dict.fromkeys(("randn_like", "rand_like", "bernoulli"), "it is random: the same numbers cannot be had"),
    }
)
_RENAMED = {"axis": "dim", "split_size_or_sections": "split_size"}


def name_of(target: Any) -> str | None:
    """The name of a function of torch, of an operator or of a method; None for anything else."""
    if isinstance(target, str):
        return target
    name = getattr(target, "__name__", "")
    homes = (torch, functional, operator, torch._C._nn)
    return name if target is getattr or any(getattr(home, name, None) is target for home in homes) else None


def is_arithmetic(target: Any) -> bool:
    """Whether it is a function on plain numbers too."""
    name = getattr(target, "__name__", "")
    return any(getattr(home, name, None) is target for home in (operator, math))


def works_in_place(target: Any, options: Mapping[str, Any]) -> bool:
    """Whether a function or method changes its first argument."""
    name = str(name_of(target))
    with_underscore = name.endswith("_") and name not in HANDLERS and name[:-1] in HANDLERS
    return with_underscore or name in _IN_PLACE or bool(options.get("inplace"))


def gives_its_own(target: Any) -> bool:
    """Whether the result of a function, method or module is a tensor of its own, not another view of an argument."""
    if isinstance(target, nn.Module):
        return not isinstance(target, nn.Identity | nn.Dropout | nn.Flatten) and not getattr(target, "inplace", False)
    return name_of(target) in COMPUTE


def handler(target: Any) -> Callable[[Building, Sequence[Any], Mapping[str, Any]], Any]:
    """What reads a call of this function or method; raises `Refused` if it has no counterpart."""
    name = str(name_of(target))
    if name not in HANDLERS and name[:-1] in HANDLERS and name.endswith("_"):
        name = name[:-1]
    if name not in HANDLERS:
        raise Refused(_HINTS.get(name, "no counterpart here"))

    def call(building: Building, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        options = {_RENAMED.get(key, key): value for key, value in kwargs.items()}
        args = (*(options.pop(key) for key in ("input", "tensors") if key in options), *args)
        if name in _OF_TENSORS and not (args and isinstance(args[0], Value)):
            raise Refused(f"it takes a tensor that depends on the data, got {what_is(args[0] if args else None)}")
        try:
            return HANDLERS[name](building, *args, **options)
        except TypeError as error:
            raise Refused(f"it is not read with these arguments ({error})") from error

    return call
