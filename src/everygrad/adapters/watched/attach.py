"""Forward hooks on the watched modules: they copy, and never change or stop what they watch."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, final
from weakref import ref

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from everygrad.adapters.watched.capture import Captured, capture, input_of, states_of
from everygrad.adapters.watched.chain import Chain
from everygrad.adapters.watched.dropout import random_state
from everygrad.adapters.watched.joined import is_joinable
from everygrad.adapters.watched.layer import Layer, Met
from everygrad.adapters.watched.plain import CapturedPlain, capture_plain
from everygrad.adapters.watched.recorder import Recorder
from everygrad.adapters.watched.setting import family, setting


def attach(recorder: Recorder, layer: Layer) -> None:
    """Hook one module until the recorder is closed."""
    enter = Enter(layer)
    leave = Leave(recorder, layer, enter)
    recorder.hold(layer.module.register_forward_pre_hook(enter, with_kwargs=True))
    recorder.hold(layer.module.register_forward_hook(leave, with_kwargs=True))


@final
class Enter:
    """What only a look before the call can tell."""

    def __init__(self, layer: Layer) -> None:
        self.before: list[torch.Tensor | None] = []
        self._layer = layer

    def __call__(self, module: nn.Module, given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        if not torch.compiler.is_compiling() and module is self._layer.module:
            self.before.append(_before(module, input_of(given, named)[0]))

    def __deepcopy__(self, memo: object) -> "Copied":
        return Copied(None)

    def __reduce__(self) -> tuple[Any, ...]:
        return NOTHING


@final
class Leave:
    """Takes what a call read and gave."""

    def __init__(self, recorder: Recorder, layer: Layer, enter: Enter) -> None:
        self._recorder, self._layer, self._enter = recorder, layer, enter

    def __call__(self, module: nn.Module, given: tuple[Any, ...], named: Mapping[str, Any], result: Any) -> None:
        if torch.compiler.is_compiling():
            return
        layer = self._layer
        if module is not layer.module:  # replicas of a module have its hooks
            layer.copies_met += 1
            return
        earlier = self._enter.before.pop() if self._enter.before else None
        captured = _captured(self._recorder, layer.name, module, given, named, result, earlier)
        quiet = _quiet(result)
        if isinstance(captured, Captured) and (captured.setting.is_cell or is_joinable(captured)):
            states = states_of(input_of(given, named)[1])
            ends = states_of(result if captured.setting.is_cell else result[1])
            chains = [met.captured for met in layer.met if isinstance(met.captured, Chain) and met.quiet == quiet]
            if any(chain.continued(captured, states, ends) for chain in chains):
                return
            captured = Chain(captured, ends)
        layer.met.append(Met(captured, quiet, module.training, self._recorder.calls))
        self._recorder.calls += 1

    def __deepcopy__(self, memo: object) -> "Copied":
        return Copied(ref(self._layer))

    def __reduce__(self) -> tuple[Any, ...]:
        return NOTHING


@final
class Copied:
    """What a hook is in a deep copy of the module: at the first call it counts the copy, and takes itself away."""

    def __init__(self, layer: ref[Layer] | None) -> None:
        self._layer = layer

    def __call__(self, module: nn.Module, *_: object) -> None:
        layer = None if self._layer is None else self._layer()
        if layer is not None:
            layer.copies_met += 1
        for hooks, others in (
            (module._forward_pre_hooks, module._forward_pre_hooks_with_kwargs),
            (module._forward_hooks, module._forward_hooks_with_kwargs),
        ):
            for key in [key for key, hook in hooks.items() if hook is self]:
                del hooks[key]
                others.pop(key, None)

    def __deepcopy__(self, memo: object) -> "Copied":
        return Copied(self._layer)

    def __reduce__(self) -> tuple[Any, ...]:
        return NOTHING


NOTHING = (getattr, (nullcontext(), "__exit__"))
"""What a hook is in a pickled module: takes anything, does nothing, and loads without this library."""


def _before(module: nn.Module, x: Any) -> torch.Tensor | None:
    """The generator's state if dropout will draw from it, a copy of the input if it will be written over."""
    data = x.data if isinstance(x, PackedSequence) else x
    if not isinstance(data, torch.Tensor):
        return None
    try:
        if family(module) is not None:
            return random_state(data.device) if setting(module).dropout else None
        return data.detach().clone() if getattr(module, "inplace", False) else None
    except Exception:  # as below; that the masks are not known is seen when the output is compared
        return None


def _captured(
    recorder: Recorder,
    name: str,
    module: nn.Module,
    given: tuple[Any, ...],
    named: Mapping[str, Any],
    result: Any,
    earlier: torch.Tensor | None,
) -> Captured | CapturedPlain | str:
    """What the call left, or why it cannot be shown: whatever goes wrong here must not stop a training."""
    try:
        if family(module) is not None:
            return capture(recorder, name, module, given, named, result, earlier)
        x, _ = input_of(given, named)
        if not isinstance(x, torch.Tensor) or not isinstance(result, torch.Tensor):
            return "it does not take and give one tensor"
        return capture_plain(recorder, name, module, x.detach().clone() if earlier is None else earlier, result)
    except Exception as error:
        return f"reading its call failed with {type(error).__name__}: {error}"


def _quiet(result: Any) -> str:
    """Why no gradient can arrive at what a call gave; "" if one can."""
    todo, tensors = [result], []
    while todo:
        item = todo.pop()
        if isinstance(item, torch.Tensor):
            tensors.append(item)
        elif isinstance(item, tuple):  # a PackedSequence is one too
            todo.extend(item)
    if any(tensor.requires_grad for tensor in tensors):
        return ""
    if torch.is_inference_mode_enabled():
        return "it was called under torch.inference_mode()"
    if not torch.is_grad_enabled():
        return "it was called under torch.no_grad()"
    return "neither its parameters nor its input require one (they are frozen: requires_grad is False)"
