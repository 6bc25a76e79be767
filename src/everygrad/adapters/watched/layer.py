"""One watched module: its calls, and what is asked of them."""

from collections.abc import Iterator, KeysView
from dataclasses import dataclass
from typing import final

import torch
from torch import nn

from everygrad.adapters.watched.capture import Captured
from everygrad.adapters.watched.chain import Chain
from everygrad.adapters.watched.explain import explain
from everygrad.adapters.watched.plain import CapturedPlain, explain_plain
from everygrad.adapters.watched.recorder import Recorder
from everygrad.adapters.watched.records import Call, Quantities
from everygrad.engines.compiled.threads import running
from everygrad.errors import InputError, UnsupportedError


@final
@dataclass(frozen=True, slots=True, eq=False)
class Met:
    """One call, or a chain of calls: what was captured, or why not; why no gradient can come, or ""."""

    captured: Captured | Chain | CapturedPlain | str
    quiet: str
    training: bool
    order: int

    @property
    def arrived(self) -> int:
        """How many gradients autograd delivered to its outputs."""
        return 0 if isinstance(self.captured, str) else self.captured.arrived

    @property
    def state(self) -> tuple[int, int]:
        """What changes when more happens to it: the gradients that arrived, the steps of a chain."""
        return self.arrived, len(self.captured.steps) if isinstance(self.captured, Chain) else 1

    @property
    def counts(self) -> bool:
        """Whether a gradient reached it, or might have without our seeing it."""
        return self.arrived > 0 or (isinstance(self.captured, str) and not self.quiet)


@final
class Layer:
    """One module of the watched model. ``layer["h_l0"]`` is the total gradient ∂L/∂h at every step.

    The attributes are those of `Call`. They, and the layer itself, speak of the one call that a gradient reached; if
    there were several, ask one of ``calls``. ``weights`` are summed over all calls, as ``.grad`` is. Arrays have the
    layout of the module: its ``batch_first``, unbatched if the input was, padded (in the original order)
    if it was packed; h_0 and c_0 as torch stacks them.
    """

    def __init__(self, names: tuple[str, ...], module: nn.Module, recorder: Recorder) -> None:
        self.names = names
        self.module = module
        self.met: list[Met] = []
        self.copies_met = 0
        self._recorder = recorder
        self._made: dict[int, tuple[tuple[int, int], Call]] = {}

    @property
    def name(self) -> str:
        """The first of its names in the model."""
        return self.names[0]

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call in the block, in order; raises `UnsupportedError` if one cannot be shown."""
        return tuple(self.explained(i) for i in range(len(self.met)))

    @property
    def values(self) -> Quantities:
        """The quantities themselves."""
        return self.call.values

    @property
    def direct(self) -> Quantities:
        """What arrives at each step from outside the layer."""
        return self.call.direct

    @property
    def delivered(self) -> Quantities:
        """What autograd brought to ``output``, ``h_n`` and ``c_n``."""
        return self.call.delivered

    @property
    def weights(self) -> Quantities:
        """The gradients of the module's parameters under torch's names, summed over its calls."""
        all_of_them = [call.weights for _, call in self.reached()]
        if len(all_of_them) < 2:
            return self.call.weights
        summed = {name: torch.stack([w[name] for w in all_of_them]).sum(0) for name in all_of_them[0]}
        return Quantities(all_of_them[0].what, summed, all_of_them[0].only_suffix)

    @property
    def call(self) -> Call:
        """The one call that a gradient reached, or the one that there was.

        Raises `InputError` if there were none or several, `UnsupportedError` if it cannot be shown.
        """
        counting = [i for i, met in enumerate(self.met) if met.counts]
        if len(counting) == 1 or len(self.met) == 1:
            return self.explained(counting[0] if counting else 0)
        if counting:
            raise InputError(
                f"{self.name!r} was called {len(self.met)} times, and a gradient reached {len(counting)} of these "
                f"calls: say which, seen[{self.name!r}].calls[{counting[0]}] for one; .weights are summed over all"
            )
        raise InputError(self.silence)

    def reached(self) -> Iterator[tuple[int, Call]]:
        """The calls that a gradient reached, or may have reached, with their number; raises `UnsupportedError`."""
        return ((i, self.explained(i)) for i, met in enumerate(self.met) if met.counts)

    @property
    def silence(self) -> str:
        """Why no gradient arrived, and what to do; "" if one did."""
        if any(met.counts for met in self.met):
            return ""
        if not self.met:
            copies = " (but a copy of it was)" if self.copies_met else ""
            return f"{self.name!r} was not called inside of the with block, or only in compiled code{copies}"
        quiet = self.met[-1].quiet
        mode = "" if any(met.training for met in self.met) else " (the model is in eval mode)"
        if quiet:
            return f"no gradient arrived at {self.name!r}{mode}: {quiet}"
        if not self._recorder.arrived:
            why = "no backward pass ran inside of the with block: call loss.backward() before it ends"
        else:
            why = "a backward pass ran, but the loss does not depend on its output (or it was detached)"
        return f"no gradient arrived at {self.name!r}{mode}: {why}"

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why calls that a gradient reached, or may have reached, cannot be shown."""
        found: list[str] = []
        for i, met in enumerate(self.met):
            if met.counts:
                try:
                    self.explained(i)
                except UnsupportedError as error:
                    found.append(str(error))
        return tuple(dict.fromkeys(found))

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.call[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.call)

    def __len__(self) -> int:
        return len(self.call)

    def __contains__(self, name: object) -> bool:
        return name in self.call

    def keys(self) -> KeysView[str]:
        """The names of the quantities, as a dict has them."""
        return self.call.keys()

    def __repr__(self) -> str:
        reached = sum(met.arrived > 0 for met in self.met)
        return f"Layer({self.name!r}, {self.module}, {len(self.met)} calls, {reached} with a gradient)"

    def explained(self, i: int) -> Call:
        """One call explained; again if more gradients have arrived since."""
        met = self.met[i]
        if isinstance(met.captured, str):
            raise UnsupportedError(f"{self.name!r} cannot be shown: {met.captured}")
        made = self._made.get(i)
        if made is None or made[0] != met.state:
            missing = self.silence or f"no gradient arrived at call {i + 1} of {len(self.met)} of {self.name!r}"
            with running(self._recorder.engine):
                made = self._made[i] = met.state, _explained(met.captured, missing)
        return made[1]


def _explained(call: Captured | Chain | CapturedPlain, missing: str) -> Call:
    return explain_plain(call, missing) if isinstance(call, CapturedPlain) else explain(call, missing)
