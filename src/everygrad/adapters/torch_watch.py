"""``watch``: two lines around a forward and a backward pass in torch, and every gradient inside can be read."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from everygrad.adapters.watched.agreement import Agreement, agreement
from everygrad.adapters.watched.attach import attach
from everygrad.adapters.watched.layer import Layer
from everygrad.adapters.watched.modules import is_recurrent, layers_of
from everygrad.adapters.watched.page import report_of
from everygrad.adapters.watched.recorder import Recorder
from everygrad.adapters.watched.text import text
from everygrad.adapters.watched.verdict import Labelled, verdict_of
from everygrad.diagnose import Unrolled, Verdict
from everygrad.engines.compiled.choice import Engine, checked
from everygrad.errors import InputError, UnsupportedError, unknown_name
from everygrad.report import ensure_writable, to_html, to_json, write


def watch(model: Any, engine: Engine = "numpy") -> "Seen":
    """Watch the recurrent layers of a torch model during one forward and backward pass, with any loss.

    ::

        with eg.watch(model) as seen:
            criterion(model(x), y).backward()

        seen["lstm"]["h_l0"]            # total gradient of the state at each step; also c_l0, i_l0, a_f_l0, x ...
        seen["lstm"].direct["h_l0"]     # the part of it that arrives at that step, not through later ones
        seen["lstm"].values["f_l0"]     # the gate itself
        seen["lstm"].weights            # the gradients of weight_ih_l0 ..., equal to what autograd accumulated
        print(seen), seen.verdict(), seen.report("report.html")

    Hooks copy what goes into each ``nn.RNN``, ``nn.LSTM`` and ``nn.GRU`` (any number of layers, both directions,
    ``proj_size``, packed sequences, dropout) and the gradient that autograd delivers at its output, h_n and c_n.
    With a_k = W s_{k−1} + U x_k + b, s_k = g(a_k) the inside follows in closed form, on the device of the model:

        ∇s_k = ∇⁺s_k + (∂s_{k+1}/∂s_k)ᵀ ∇s_{k+1},   ∇⁺ the delivered, direct part.

    Names end as torch's do: ``_l0``, ``_l1_reverse``; a layer that is the only one may be left out of the name. Arrays
    keep the layout of the module (``batch_first``); those of packed sequences are padded with zeros, in the original
    order. ``nn.RNNCell``, ``nn.LSTMCell`` and ``nn.GRUCell`` are watched too, and Linear and activation modules
    with the values and gradients of ``input`` and ``output``.

    What counts as the gradient: all backward passes in the block add up, as ``.grad`` does; several calls of a layer
    are read one by one, ``seen["lstm"].calls[0]["h_l0"]``, and its weight gradients are their sum. Calls of a cell, or
    of a layer (one deep, one direction, not packed), that are given the very states that the call before gave are one
    sequence. A weight gradient is the part that comes through the watched calls; `Seen.agreement` compares it with what
    autograd delivered. Hooks of your own on an output count: the gradient is the one that enters the layer.

    Training is not disturbed: the hooks return nothing, and are gone when the block ends, also by an
    exception. Nothing is computed until it is asked for. The masks of dropout between layers are drawn again from the
    state of the generator; each forward pass is compared with the module's own output, and refused if it differs.

    Raises `InputError` for what is no module or has nothing to watch, `UnsupportedError` for compiled and parallel
    models; the rest is said when a layer is asked for: no gradient arrived (and why), float16 or autocast.
    Cost: copies of inputs, outputs and weights during the block; for a layer that is asked for, one forward and one
    backward pass. ``engine="compiled"`` runs the loops of models on the CPU as machine code (the extra
    ``everygrad[compiled]``), as `forward` does.
    """
    return Seen(model, engine)


@final
class Seen(Mapping[str, Layer]):
    """What was seen of a model in one block: its watched modules by name, in the order of the model."""

    def __init__(self, model: Any, engine: Engine = "numpy") -> None:
        self._recorder = Recorder(checked(engine))
        self._model = model
        self.layers = layers_of(model, self._recorder)
        self._by_name = {name: layer for layer in self.layers for name in layer.names}
        self._used = False

    def __enter__(self) -> Self:
        if self._used:
            raise InputError("this watch has had its block: make a new one, with eg.watch(model) as seen")
        self._used = True
        for layer in self.layers:
            attach(self._recorder, layer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._recorder.close()

    def __getitem__(self, name: str) -> Layer:
        if name in self._by_name:
            return self._by_name[name]
        module = dict(self._model.named_modules()).get(name)
        if module is not None:
            kind = type(module).__name__
            raise UnsupportedError(f"{name!r} is a {kind}, which is not watched; what is: {', '.join(self._by_name)}")
        raise unknown_name("module", name, self._by_name)

    def __iter__(self) -> Iterator[str]:
        return iter([layer.name for layer in self.layers])

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        return f"Seen({type(self._model).__name__}: {', '.join(self)})"

    def __str__(self) -> str:
        return text(type(self._model).__name__, self.layers)

    def agreement(self) -> tuple[Agreement, ...]:
        """The weight gradients of the recurrent layers against what autograd delivered to the same parameters."""
        return agreement(self.layers)

    def unrolled(self) -> tuple[Unrolled, ...]:
        """Each recurrent layer and direction that a gradient reached, as the analyses of time read it.

        Raises `InputError` if there is none, `UnsupportedError` if one cannot be shown.
        """
        return tuple(one.part.unrolled(one.label) for one in self._parts())

    def verdict(self) -> Verdict:
        """Where the gradient dies or explodes over time, and why; raises what `unrolled` raises.

        An error if autograd delivered other gradients to the weights (`agreement`): then nothing is called healthy.
        Several calls of a layer that do not go on from each other are looked at one by one.
        """
        return verdict_of(self._parts(), self.agreement())

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write one self-contained page about the recurrent layers over time; raises what `unrolled` raises.

        A path that ends in ``.json`` gets the numbers instead. Raises `InputError` if no file can be written there.
        """
        target = ensure_writable(path)
        record = report_of(self._model, self.layers, self._parts(), self.verdict())
        return write(target, to_json(record) if target.suffix == ".json" else to_html(record))

    def _parts(self) -> list[Labelled]:
        """The layers and directions of all calls that a gradient reached, each under a name of its own."""
        recurrent = [layer for layer in self.layers if is_recurrent(layer.module)]
        if not recurrent:
            name = type(self._model).__name__
            raise InputError(f"{name} has no recurrent layer, so there is no time: eg.from_torch takes other networks")
        calls = [(layer, i, call) for layer in recurrent for i, call in layer.reached()]
        if not calls:
            raise InputError("; ".join(layer.silence for layer in recurrent))
        found = []
        for layer, i, call in sorted(calls, key=lambda one: one[0].met[one[1]].order):
            place = layer.name if len(layer.met) == 1 else f"{layer.name}[{i}]"
            for part in call.parts:
                own = part.suffix.removeprefix("_")
                if not part.run.batch:
                    continue  # nothing to say of no sequences
                label = ".".join(filter(None, (place if len(calls) > 1 or not own else "", own)))
                found.append(Labelled(label, layer.name, i, part))
        if not found:
            names = ", ".join(dict.fromkeys(repr(layer.name) for layer, _, _ in calls))
            raise InputError(f"{names} got a batch of 0 sequences, expected at least one: watch a step with data")
        return found
