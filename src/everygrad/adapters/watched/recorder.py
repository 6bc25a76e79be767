"""What arrives while a block is watched: tensor hooks that only copy, and a count of what came."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final
from weakref import ref

import torch
from torch.utils.hooks import RemovableHandle

from everygrad.engines.compiled.choice import Engine


@final
@dataclass(eq=False, slots=True)
class Arrivals:
    """Gradients that autograd delivered, by what they belong to; they add up, as ``.grad`` does."""

    gradients: dict[str, torch.Tensor] = field(default_factory=dict)
    count: int = 0
    recorded: bool = False

    def add(self, name: str, g: torch.Tensor) -> None:
        """Take one gradient; the tensor is ours."""
        self.gradients[name] = self.gradients[name] + g if name in self.gradients else g
        self.count += 1
        self.recorded = self.recorded or torch.is_grad_enabled()  # backward(create_graph=True)

    def replace(self, name: str, earlier: torch.Tensor | None, g: torch.Tensor) -> None:
        """Put ``g`` in the place of the last gradient that was added to ``earlier``, what there was before."""
        self.gradients[name] = g if earlier is None else earlier + g


@final
class Recorder:
    """All hooks of one block, and what they share.

    Hooks on tensors and operations, not the full backward hooks of modules: those insert an identity into the
    graph, which changes aliasing and in-place behaviour. A hook here returns nothing and copies the gradient, so
    that what autograd adds up, and in which memory, is the same with and without it.
    """

    def __init__(self, engine: Engine = "numpy") -> None:
        self.engine: Engine = engine
        self.calls = 0
        self.arrived = 0
        self._handles: list[RemovableHandle] = []
        self._copies: dict[int, tuple[ref[torch.Tensor], int, torch.Tensor]] = {}
        self._delivered: dict[int, tuple[ref[torch.Tensor], Arrivals]] = {}

    def hold(self, handle: RemovableHandle) -> None:
        """Remember a hook, to remove it at the end."""
        self._handles.append(handle)

    def close(self) -> None:
        """Remove every hook."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._copies.clear()
        self._delivered.clear()

    def listen(self, tensor: torch.Tensor, arrivals: Arrivals, name: str) -> None:
        """Have a copy of each gradient that arrives at a tensor that requires one added to ``arrivals``.

        Hooks of the user's own on the tensor may change the gradient after a tensor hook of ours saw it, so the
        operation that made the tensor is asked too: what enters it is what its inside gets, after all tensor hooks.
        The tensor hook alone sees a gradient at which autograd stops (``torch.autograd.grad(loss, output)``).
        """
        read = _reader(tensor)
        place = hooked(tensor)
        node, number = place.grad_fn, place.output_nr
        earlier: list[torch.Tensor | None] = []  # what had arrived before the gradient that is on its way

        def at_tensor(g: torch.Tensor | None) -> None:
            earlier.clear()
            if g is not None:  # one of several outputs of an operation may get none
                self.arrived += 1
                earlier.append(arrivals.gradients.get(name))
                arrivals.add(name, read(g.detach()))

        def at_node(gradients: tuple[torch.Tensor | None, ...]) -> None:
            g = gradients[number]
            if g is not None and earlier:
                arrivals.replace(name, earlier.pop(), read(g.detach()))

        self.hold(place.register_hook(at_tensor))
        if node is not None:
            self.hold(node.register_prehook(at_node))

    def delivered_to(self, parameter: torch.Tensor) -> Arrivals:
        """What autograd delivers to a parameter, under the name "gradient"; one hook, however often it is used."""
        known = self._delivered.get(id(parameter))
        if known is not None and known[0]() is parameter:
            return known[1]
        arrivals = Arrivals()
        self._delivered[id(parameter)] = (ref(parameter), arrivals)
        if parameter.requires_grad:
            self.listen(parameter, arrivals, "gradient")
        return arrivals

    def copy(self, tensor: torch.Tensor) -> torch.Tensor:
        """The numbers of a parameter as they are now; the same copy as long as nothing is written to it."""
        if tensor.is_inference():
            return tensor.clone()
        known = self._copies.get(id(tensor))
        if known is not None and known[0]() is tensor and known[1] == tensor._version:
            return known[2]
        copied = tensor.detach().clone()
        self._copies[id(tensor)] = (ref(tensor), tensor._version, copied)
        return copied


def hooked(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor that the hook of a tensor is put on: its base, if it is a view of all of it.

    When something is written into a view (the output of ``nn.LSTM(batch_first=True)`` is one, transposed), it
    leaves the graph, and its hooks with it; its base stays.
    """
    base = tensor._base if tensor._is_view() else None
    return tensor if base is None or base.is_leaf or base.numel() != tensor.numel() else base


def _reader(tensor: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """From a gradient where the hook is to a copy of it as one of the tensor."""
    base = hooked(tensor)
    if base is tensor:
        return torch.clone
    memory = tuple(base.shape), base.stride()
    view = tuple(tensor.shape), tensor.stride(), tensor.storage_offset() - base.storage_offset()

    def read(g: torch.Tensor) -> torch.Tensor:
        laid = torch.empty_strided(*memory, dtype=g.dtype, device=g.device).copy_(g)
        return laid.as_strided(*view).contiguous()

    return read
