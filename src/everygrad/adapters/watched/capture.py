"""One call of a recurrent module: what went in, what came out, and what autograd delivers at its output."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch.nn.utils.rnn import PackedSequence

from everygrad.adapters.watched.layout import Layout, Packing
from everygrad.adapters.watched.recorder import Arrivals, Recorder, hooked
from everygrad.adapters.watched.setting import Setting, setting


@final
@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """Copies of everything that a call read and gave; nothing here is part of the autograd graph.

    ``initial`` has the states that were given, by name, and is empty if none were (they are zero then);
    ``weights`` torch's names; ``weight_arrivals`` what autograd delivers to the same. ``random``: the state of the
    generator before the call, if dropout draws from it; ``delivered``: what autograd brought, if that is not
    what ``arrivals`` has (a `Chain` of cells splits it). ``c_before_h``: in the autograd graph of an LSTM cell, c
    is on the way to h (on the CPU, where the cell is made of ordinary operations; fused, it is not).
    """

    name: str
    setting: Setting
    layout: Layout
    x: torch.Tensor
    initial: Mapping[str, torch.Tensor]
    output: torch.Tensor
    weights: Mapping[str, torch.Tensor]
    random: torch.Tensor | None
    arrivals: Arrivals
    weight_arrivals: Mapping[str, Arrivals]
    delivered: Mapping[str, torch.Tensor] | None = None
    c_before_h: bool = False

    @property
    def arrived(self) -> int:
        """How many gradients autograd delivered to the outputs."""
        return self.arrivals.count


def states_of(given: Any) -> tuple[Any, ...]:
    """h or (h, c), as torch's modules take and give them, as a tuple; empty for None."""
    if given is None:
        return ()
    return tuple(given) if isinstance(given, tuple | list) else (given,)


def input_of(given: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Any, Any]:
    """The input and the states among the arguments of a forward."""
    x = given[0] if given else named.get("input")
    return x, given[1] if len(given) > 1 else named.get("hx")


def capture(
    recorder: Recorder,
    name: str,
    module: Any,
    given: tuple[Any, ...],
    named: Mapping[str, Any],
    result: Any,
    random: torch.Tensor | None,
) -> Captured | str:
    """What a forward hook was given as a record, with hooks on the outputs; or in words, why that cannot be done."""
    setup = setting(module)
    x, states = input_of(given, named)
    outputs = _outputs(setup, result)
    if outputs is None or not isinstance(x, torch.Tensor | PackedSequence):
        return "its forward does not take and give what that of torch's own class does"
    data = x.data if isinstance(x, PackedSequence) else x
    layout = Layout(
        setup.batch_first,
        batched=isinstance(x, PackedSequence) or x.ndim == (2 if setup.is_cell else 3),
        is_cell=setup.is_cell,
        packing=Packing(x.batch_sizes, x.sorted_indices, x.unsorted_indices) if isinstance(x, PackedSequence) else None,
    )
    used = _weights(module, setup)
    problem = _problem(data, used)
    if problem is not None:
        return problem
    arrivals = Arrivals()
    for key, tensor in outputs.items():
        if tensor.requires_grad:
            recorder.listen(tensor, arrivals, key)
    return Captured(
        name=name,
        setting=setup,
        layout=layout,
        x=data.detach().clone(),
        initial={n: s.detach().clone() for n, s in zip(setup.state_names, states_of(states), strict=False)},
        output=next(iter(outputs.values())).detach().clone(),
        weights={name: recorder.copy(tensor) for name, tensor in used.items()},
        random=random,
        arrivals=arrivals,
        weight_arrivals={name: recorder.delivered_to(tensor) for name, tensor in used.items()},
        c_before_h=setup.is_cell and "c_n" in outputs and _leads_to(outputs["c_n"], outputs["h_n"]),
    )


def _leads_to(c: torch.Tensor, h: torch.Tensor) -> bool:
    """Whether h was made from c: looked for among the last few operations of h."""
    target = hooked(c).grad_fn
    nodes = [h.grad_fn]
    for _ in range(4):
        nodes = [parent for node in nodes if node is not None for parent, _ in node.next_functions]
        if target is not None and target in nodes:
            return True
    return False


def _outputs(setup: Setting, result: Any) -> dict[str, torch.Tensor] | None:
    """The tensors that a call gave, under torch's names; None if it gave something else."""
    last_names = tuple(f"{name}_n" for name in setup.state_names)
    if setup.is_cell:
        found = result if isinstance(result, tuple) else (result,)
        names = last_names
    else:
        if not isinstance(result, tuple) or len(result) != 2:
            return None
        output, last = result
        data = output.data if isinstance(output, PackedSequence) else output
        found = (data, *(last if isinstance(last, tuple) else (last,)))
        names = ("output", *last_names)
    if len(found) != len(names) or not all(isinstance(t, torch.Tensor) for t in found):
        return None
    return dict(zip(names, found, strict=True))


def _weights(module: Any, setup: Setting) -> dict[str, torch.Tensor]:
    """The tensors that the call multiplied with: for a fused layer those of its flat list, which it uses."""
    if setup.is_cell:
        return {name: getattr(module, name) for name in setup.parameters()}
    return dict(zip(module._flat_weights_names, module._flat_weights, strict=True))


def _problem(x: torch.Tensor, weights: Mapping[str, torch.Tensor]) -> str | None:
    if any(torch._C._functorch.is_functorch_wrapped_tensor(t) for t in (x, *weights.values())):
        return "it was called inside of torch.func (grad, vmap, jvp): call the model itself, and loss.backward()"
    if torch.is_autocast_enabled(x.device.type):
        return (
            "it was called under autocast, which rounds inside of the layer where nothing can be seen: "
            "watch a step outside of autocast"
        )
    dtypes = {t.dtype for t in (x, *weights.values())}
    if len(dtypes) > 1 or not dtypes <= {torch.float32, torch.float64}:
        names = " and ".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes))
        return f"it runs in {names}, expected float32 or float64: watch model.float() or model.double()"
    return None
