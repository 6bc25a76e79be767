"""``from_torch``: an ``nn.Sequential`` as a network of ours, with copies of its parameters."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from everygrad.adapters.stack import Step, network
from everygrad.adapters.torch_losses import loss_of
from everygrad.engines import Array
from everygrad.errors import InputError, UnsupportedError, all_mismatches, unknown_name
from everygrad.graph import Operation
from everygrad.graph.affine import Affine
from everygrad.graph.arrange import Flatten
from everygrad.graph.elementwise import Elementwise
from everygrad.networks import FeedForward, GraphNetwork

_ACTIVATIONS: dict[type[nn.Module], Callable[[Any], Elementwise]] = {
    nn.ReLU: lambda m: Elementwise("relu"),
    nn.LeakyReLU: lambda m: Elementwise("leaky_relu", slope=float(m.negative_slope)),
    nn.ELU: lambda m: Elementwise("elu", alpha=float(m.alpha)),
    nn.GELU: lambda m: Elementwise("gelu_tanh" if m.approximate == "tanh" else "gelu"),
    nn.SiLU: lambda m: Elementwise("silu"),
    nn.Sigmoid: lambda m: Elementwise("sigmoid"),
    nn.Tanh: lambda m: Elementwise("tanh"),
    nn.Softplus: lambda m: Elementwise("softplus"),
}
_SUPPORTED = "Sequential, Linear, Identity, Flatten, Dropout, " + ", ".join(m.__name__ for m in _ACTIVATIONS)
_LOGITS = "the losses take logits: leave it out"
_HINTS = {nn.Softmax: _LOGITS, nn.LogSoftmax: _LOGITS, nn.LazyLinear: "run the model once, so that it has its shape"}
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


def from_torch(
    module: Any, loss: Any = "softmax_cross_entropy", *, arrays: str = "numpy"
) -> tuple[FeedForward | GraphNetwork, dict[str, Array]]:
    """A torch model as (network, parameters) with the same outputs and the same gradients.

    ``module`` is an ``nn.Sequential`` (nested ones too) of Linear, Identity, Dropout in eval mode,
    Flatten, ReLU, LeakyReLU, ELU, GELU (both forms), SiLU, Sigmoid, Tanh and Softplus, or one of these
    alone. It becomes a `FeedForward` if it has that form, else a `GraphNetwork` (Flatten, two
    activations in a row, a shared Linear ...). Linear number i computes ``ai`` from ``Wi`` (out, in) and
    ``bi`` (out,); the activation behind it ``hi``, further ones ``hi_2`` ...; before the first Linear
    ``h0_2`` ...; the input is ``h0``, or ``x``. A Linear used twice, or a weight that two of them share, is
    one parameter with two consumers, named at its first use.

    ``loss``: a name (those of ``torch.nn.functional`` have torch's reduction), a loss operation, or a
    criterion: ``nn.CrossEntropyLoss(label_smoothing=0.1)``, ``nn.MSELoss()``, ``nn.BCEWithLogitsLoss()``,
    with its exact reduction. It acts on the model's output as the criterion does: on logits.

    The parameters are copies, of the dtype they had, NumPy arrays or (``arrays="torch"``) detached
    tensors on their own device. Nothing of the model is changed, and later training of it is not followed.

    torch's Softplus is the identity above its threshold of 20, ours is exact there: the two differ by at
    most 2.1e-9, and not at all in ``nn.Softplus(threshold=1e4)``.

    Raises `UnsupportedError` with every module that has no counterpart, and its path in the model: any
    other class (a subclass too: it may compute something else), Dropout in training mode, hooks and
    parametrisations, dtypes other than float32 and float64.
    """
    if arrays not in ("numpy", "torch"):
        raise unknown_name("kind of arrays", arrays, ("numpy", "torch"))
    if not isinstance(module, nn.Module):
        raise InputError(f"from_torch takes a torch.nn.Module, got {type(module).__name__}")
    chosen = loss_of(loss)
    steps, tensors, problems = _read(module)
    all_mismatches(f"from_torch takes {_SUPPORTED}", problems, UnsupportedError)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    params = {name: _copy(tensor, arrays) for name, tensor in tensors.items()}
    return network(steps, shapes, chosen), params


def _copy(tensor: torch.Tensor, arrays: str) -> Array:
    return tensor.detach().clone() if arrays == "torch" else np.array(tensor.detach().cpu().numpy(), order="C")


def _leaves(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """(path, module) in the order of execution, without the Sequentials that only run others.

    A module that is used twice comes twice.
    """
    todo = [("", module)]
    while todo:
        path, m = todo.pop()
        if not isinstance(m, nn.Sequential) or _problems_of(m):
            yield path or "the model", m
        if isinstance(m, nn.Sequential) and type(m).forward is nn.Sequential.forward:
            children = [(f"{path}.{name}" if path else name, child) for name, child in m._modules.items()]
            todo.extend((name, child) for name, child in reversed(children) if child is not None)


def _tampered(m: nn.Module) -> list[str]:
    """What may make a module compute something else than its class says."""
    found = ["this object has a forward of its own"] if "forward" in vars(m) else []
    if any(getattr(m, hooks) for hooks in _HOOKS):
        found.append("it has hooks, which may change what it computes (weight_norm and pruning add some): remove them")
    return found


def _read(module: nn.Module) -> tuple[list[Step], dict[str, torch.Tensor], list[str]]:
    """The chain of operations, the parameters by name, and everything that has no counterpart."""
    steps: list[Step] = []
    names: dict[int, str] = {}  # id of a parameter -> its name, given at its first use
    tensors: dict[str, torch.Tensor] = {}
    problems: list[str] = []
    width: int | None = None  # features, unknown before the first Linear
    layer = 0
    for path, m in _leaves(module):
        shown = type(m).__name__ if any(m.children()) else str(m)
        found = _problems_of(m)
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
        problems.extend(f"{path}: {shown}: {text}" for text in found)
    dtypes = sorted({str(tensor.dtype) for tensor in tensors.values()})
    if len(dtypes) > 1:
        problems.append(f"parameters of different dtypes, {' and '.join(dtypes)}: model.double() or model.float()")
    return steps, tensors, problems


def _operations(m: Any, flat: bool) -> list[Operation]:
    """What a module other than Linear computes; ``flat``: each sample is known to be one vector."""
    if isinstance(m, nn.Flatten):
        return [] if flat else [Flatten()]
    return [_ACTIVATIONS[type(m)](m)] if type(m) in _ACTIVATIONS else []


def _problems_of(m: Any) -> list[str]:
    """Why this module has no counterpart; nothing if it has one."""
    if isinstance(m, nn.Sequential):
        own = type(m).forward is not nn.Sequential.forward
        return [*(["its class has a forward of its own"] if own else []), *_tampered(m)]
    if type(m) not in (nn.Linear, nn.Identity, nn.Flatten, nn.Dropout, *_ACTIVATIONS):
        hint = _HINTS.get(type(m))
        known = next((k.__name__ for k in (nn.Linear, *_ACTIVATIONS) if isinstance(m, k)), None)
        reason = f"a subclass of {known}, which may compute something else" if known else "no counterpart here"
        return [hint or reason]
    found = _tampered(m)
    if isinstance(m, nn.Linear):
        for name, p in (("weight", m.weight), ("bias", m.bias)):
            if p is not None:
                found.extend(f"{name}: {text}" for text in _problems_of_parameter(p))
    elif isinstance(m, nn.Dropout) and m.training and m.p > 0:
        found.append("random in training mode: call model.eval() first")
    elif isinstance(m, nn.Flatten) and (m.start_dim, m.end_dim) != (1, -1):
        found.append("only Flatten() of all axes of a sample, start_dim=1 and end_dim=-1")
    elif isinstance(m, nn.Softplus) and (m.beta != 1 or m.threshold < 20):
        found.append("only Softplus() with beta=1 and a threshold of at least 20")
    return found


def _problems_of_parameter(p: torch.Tensor) -> list[str]:
    found = []
    if p.dtype not in (torch.float32, torch.float64):
        found.append(f"dtype {p.dtype}, expected float32 or float64: model.float()")
    if p.is_meta:
        found.append("on the meta device, where there are no numbers")
    if 0 in p.shape:
        found.append(f"shape {tuple(p.shape)}, there must be at least one unit")
    if getattr(p, "_backward_hooks", None):
        found.append("it has hooks, which may change its gradient: remove them")
    return found
