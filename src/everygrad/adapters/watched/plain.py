"""Linear and activation modules: what goes in and comes out, and the gradients of both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules import activation

from everygrad.adapters.watched.recorder import Arrivals, Recorder
from everygrad.adapters.watched.records import Call, Quantities

_ACTIVATIONS = tuple(getattr(activation, n) for n in activation.__all__ if n != "MultiheadAttention")


def is_plain(module: nn.Module) -> bool:
    """Whether it is a Linear or an activation of torch's own (a subclass may compute something else)."""
    return type(module) is nn.Linear or type(module) in _ACTIVATIONS


@final
@dataclass(frozen=True, slots=True, eq=False)
class CapturedPlain:
    """Copies of what one call read; what it gave is computed again when it is asked for."""

    name: str
    module: nn.Module
    x: torch.Tensor
    weights: Mapping[str, torch.Tensor]
    arrivals: Arrivals

    @property
    def arrived(self) -> int:
        """How many gradients autograd delivered to the output."""
        return self.arrivals.count


def capture_plain(
    recorder: Recorder, name: str, module: nn.Module, x: torch.Tensor, output: torch.Tensor
) -> CapturedPlain | str:
    """What a forward hook was given, with a hook on the output; or in words, why that cannot be done.

    ``x`` is a copy of the input as it was before the call: an activation may work in place.
    """
    used = dict(module.named_parameters(recurse=False))
    dtypes = {t.dtype for t in (x, output, *used.values())}
    if len(dtypes) > 1:
        names = " and ".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes))
        return f"it was called with {names} mixed, as under autocast: watch a step outside of it"
    if isinstance(module, nn.RReLU) and module.training:
        return "its slopes are random in training mode, and are not seen from outside: watch model.eval()"
    arrivals = Arrivals()
    if output.requires_grad:
        recorder.listen(output, arrivals, "output")
    weights = {key: recorder.copy(tensor) for key, tensor in used.items()}
    return CapturedPlain(name, module, x, weights, arrivals)


def explain_plain(call: CapturedPlain, missing: str) -> Call:
    """Values and gradients of input, output and weights: rules 2 and 3, by torch on the copies.

    The gradient of the input is the part of it that comes through this module.
    """
    g = call.arrivals.gradients.get("output")
    found, gradients = {}, {}
    with torch.set_grad_enabled(g is not None), torch.autocast(call.x.device.type, enabled=False):
        x, weights = call.x, dict(call.weights)
        if g is not None:
            x = x.detach().requires_grad_()
            weights = {key: tensor.detach().requires_grad_() for key, tensor in weights.items()}
        output = _value(call.module, x, weights)
        if g is not None:
            inward, *rest = torch.autograd.grad(output, [x, *weights.values()], g)
            found = {"input": inward, "output": g}
            gradients = dict(zip(weights, rest, strict=True))
    values = {"input": call.x, "output": output.detach()}
    return Call(
        total=Quantities("gradient", found | gradients, missing=missing),
        values=Quantities("value", values | dict(call.weights)),
        direct=Quantities(
            "direct gradient", {}, missing=f"{call.name!r}: only recurrent modules have a direct gradient"
        ),
        weights=Quantities("weight gradient", gradients, missing=missing),
        delivered=Quantities("delivered gradient", dict(call.arrivals.gradients), missing=missing),
    )


def _value(module: nn.Module, x: torch.Tensor, weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
    if isinstance(module, nn.Linear):
        return functional.linear(x, **weights)
    if isinstance(module, nn.PReLU):
        return functional.prelu(x, **weights)
    return type(module).forward(module, x.clone())  # a copy, since it may work in place
