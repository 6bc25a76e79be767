"""Which of torch's own modules have a counterpart here, and what may be wrong with one of them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from everygrad.graph.elementwise import Elementwise

ACTIVATIONS: dict[type[nn.Module], Callable[[Any], Elementwise]] = {
    nn.ReLU: lambda m: Elementwise("relu"),
    nn.LeakyReLU: lambda m: Elementwise("leaky_relu", slope=float(m.negative_slope)),
    nn.ELU: lambda m: Elementwise("elu", alpha=float(m.alpha)),
    nn.GELU: lambda m: Elementwise("gelu_tanh" if m.approximate == "tanh" else "gelu"),
    nn.SiLU: lambda m: Elementwise("silu"),
    nn.Sigmoid: lambda m: Elementwise("sigmoid"),
    nn.Tanh: lambda m: Elementwise("tanh"),
    nn.Softplus: lambda m: Elementwise("softplus"),
}
RECURRENT = (nn.RNN, nn.LSTM, nn.GRU)
IN_CHAINS = (nn.Linear, nn.Identity, nn.Flatten, nn.Dropout, *ACTIVATIONS)
KNOWN = (*IN_CHAINS, *RECURRENT, nn.Embedding)
SUPPORTED = "Sequential, Linear, Identity, Flatten, Dropout, " + ", ".join(
    m.__name__ for m in (*ACTIVATIONS, *RECURRENT, nn.Embedding)
)
LOGITS = "the losses take logits: leave it out (inside of a network it has no counterpart)"
_COMPILED = "compiled: give the module that it was made from"
_ONE_STEP = "it makes one step: nn.{} runs over the whole sequence"
_HINTS = {
    nn.Softmax: LOGITS,
    nn.LogSoftmax: LOGITS,
    nn.LazyLinear: "run the model once, so that it has its shape",
    nn.DataParallel: "give its module, model.module",
    nn.RNNCell: _ONE_STEP.format("RNN"),
    nn.LSTMCell: _ONE_STEP.format("LSTM"),
    nn.GRUCell: _ONE_STEP.format("GRU"),
}
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_RANDOM = "random in training mode: call model.eval() first"


def is_torchs_own(m: nn.Module) -> bool:
    """Whether its class comes with torch."""
    return type(m).__module__.startswith("torch.")


def known_kind(m: nn.Module) -> type[nn.Module] | None:
    """The module of torch that it computes as: its class, or the one that a user's class inherits its forward from."""
    if type(m) in KNOWN:
        return type(m)
    for kind in KNOWN:
        if isinstance(m, kind) and not is_torchs_own(m) and type(m).forward is kind.forward:
            return kind
    return None


def shown(m: nn.Module) -> str:
    """A module for people: with its settings if it has no children."""
    return type(m).__name__ if any(m.children()) else str(m)


def tampered(m: nn.Module) -> list[str]:
    """What may make a module compute something else than its class says."""
    found = ["this object has a forward of its own"] if "forward" in vars(m) else []
    if any(getattr(m, hooks) for hooks in _HOOKS):
        found.append("it has hooks, which may change what it computes (weight_norm and pruning add some): remove them")
    return found


def problems_of(m: Any) -> list[str]:
    """Why this module, which is no container, has no counterpart; nothing if it has one."""
    kind = known_kind(m)
    if kind is None:
        hint = _COMPILED if isinstance(m, torch.jit.ScriptModule) or hasattr(m, "_orig_mod") else _HINTS.get(type(m))
        base = next((k.__name__ for k in KNOWN if isinstance(m, k)), None)
        reason = f"a subclass of {base}, which may compute something else" if base else "no counterpart here"
        return [hint or reason]
    found = tampered(m)
    for name, p in m.named_parameters(recurse=False):
        found.extend(f"{name}: {text}" for text in problems_of_parameter(p))
    if kind is nn.Dropout and m.training and m.p > 0:
        found.append(_RANDOM)
    elif kind is nn.Softplus and not softplus_fits(m.beta, m.threshold):
        found.append("only Softplus() with beta=1 and a threshold of at least 20")
    elif kind is nn.Embedding and m.max_norm is not None:
        found.append("max_norm= changes the table whenever it is used: leave it out")
    elif kind is nn.Embedding and m.scale_grad_by_freq:
        found.append("scale_grad_by_freq= changes the gradient: leave it out")
    elif kind in RECURRENT and m.training and m.dropout > 0 and m.num_layers > 1:
        found.append(f"its dropout is {_RANDOM}")
    return found


def softplus_fits(beta: float, threshold: float) -> bool:
    """Whether torch's softplus with these settings is ours, up to 2.1e-9 above the threshold."""
    return beta == 1 and threshold >= 20


def problems_of_parameter(p: torch.Tensor) -> list[str]:
    """Why a parameter cannot be copied, or its gradient is not that of the function."""
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
