"""An ``nn.Sequential`` of torch's own feed-forward modules, read as a chain of operations."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from everygrad.adapters.stack import Step
from everygrad.adapters.torch_parts import (
    ACTIVATIONS,
    RECURRENT,
    is_torchs_own,
    problems_of,
    shown,
    tampered,
)
from everygrad.graph import Operation
from everygrad.graph.affine import Affine
from everygrad.graph.arrange import Flatten


def is_chain(module: nn.Module) -> bool:
    """Whether it only runs modules of torch one after the other, none of them over a sequence or over tokens."""
    leaves = (m for _, m in _leaves(module) if not _runs_others(m))
    return all(is_torchs_own(m) and not isinstance(m, (*RECURRENT, nn.Embedding)) for m in leaves)


def read_chain(module: nn.Module) -> tuple[list[Step], dict[str, torch.Tensor], list[str]]:
    """The chain of operations, the parameters by name, and everything that has no counterpart."""
    steps: list[Step] = []
    names: dict[int, str] = {}  # id of a parameter -> its name, given at its first use
    tensors: dict[str, torch.Tensor] = {}
    problems: list[str] = []
    width: int | None = None  # features, unknown before the first Linear
    layer = 0
    for path, m in _leaves(module):
        found = tampered(m) if _runs_others(m) else _problems_of(m)
        if not found and type(m) is nn.Linear:
            layer += 1
            given = {f"W{layer}": m.weight} | ({} if m.bias is None else {f"b{layer}": m.bias})
            for name, tensor in given.items():
                if id(tensor) not in names:
                    names[id(tensor)], tensors[name] = name, tensor
            steps.append(Step(Affine(), tuple(names[id(tensor)] for tensor in given.values())))
            if width not in (None, m.weight.shape[1]):
                found.append(f"it needs {m.weight.shape[1]} features and gets {width}")
            width = m.weight.shape[0]
        elif not found:
            flat = any(isinstance(step.operation, Affine | Flatten) for step in steps)
            steps.extend(Step(operation) for operation in _operations(m, flat))
        problems.extend(f"{path}: {shown(m)}: {text}" for text in found)
    return steps, tensors, problems


def _runs_others(m: nn.Module) -> bool:
    """Whether it is a Sequential that computes what its class says."""
    return isinstance(m, nn.Sequential) and type(m).forward is nn.Sequential.forward


def _leaves(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """(path, module) in the order of execution, without the Sequentials that only run others.

    A module that is used twice comes twice.
    """
    todo = [("", module)]
    while todo:
        path, m = todo.pop()
        if not _runs_others(m) or tampered(m):
            yield path or "the model", m
        if _runs_others(m):
            children = [(f"{path}.{name}" if path else name, child) for name, child in m._modules.items()]
            todo.extend((name, child) for name, child in reversed(children) if child is not None)


def _operations(m: Any, flat: bool) -> list[Operation]:
    """What a module other than Linear computes; ``flat``: each sample is known to be one vector."""
    if isinstance(m, nn.Flatten):
        return [] if flat else [Flatten()]
    return [ACTIVATIONS[type(m)](m)] if type(m) in ACTIVATIONS else []


def _problems_of(m: Any) -> list[str]:
    found = problems_of(m)
    if not found and isinstance(m, nn.Flatten) and (m.start_dim, m.end_dim) != (1, -1):
        found.append("only Flatten() of all axes of a sample, start_dim=1 and end_dim=-1")
    return found
