"""What is read: named tensors of one call, in the module's own layout."""

from collections.abc import Callable, Iterator, KeysView, Mapping
from dataclasses import dataclass
from typing import final

import torch

from everygrad.diagnose import Unrolled, unroll
from everygrad.errors import InputError, unknown_name
from everygrad.graph.time import Run, Sweep

Tensors = Mapping[str, torch.Tensor]


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Quantities(Mapping[str, torch.Tensor]):
    """Tensors by name. A layer that is the only one may be left out of the name: ``h`` for ``h_l0``.

    ``what`` each is, and ``missing``, why there are none, are for the messages.
    """

    what: str
    tensors: Tensors
    only_suffix: str = ""
    missing: str = ""

    def __getitem__(self, name: str) -> torch.Tensor:
        if name in self.tensors:
            return self.tensors[name]
        if self.only_suffix and f"{name}{self.only_suffix}" in self.tensors:
            return self.tensors[f"{name}{self.only_suffix}"]
        if not self.tensors:
            raise InputError(self.missing)
        raise unknown_name(self.what, name, self.tensors)

    def __contains__(self, name: object) -> bool:
        return name in self.tensors or f"{name}{self.only_suffix}" in self.tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def __repr__(self) -> str:
        return f"Quantities({', '.join(self.tensors) or 'none'})"


@final
@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One layer in one direction as the library itself has it: a run of a cell and the sweeps over it.

    The direct one is made when it is first asked for.
    """

    suffix: str
    reverse: bool
    run: Run
    total: Sweep
    direct: Callable[[], Sweep]

    def unrolled(self, label: str) -> Unrolled:
        """The record that the analyses of time read."""
        return unroll(label, self.run, self.total, self.direct(), self.suffix, self.reverse)


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Call:
    """One call of a module: indexed by name, it gives the total gradient ∂L/∂v.

    ``values`` are those of the quantities themselves; ``direct`` the part of a gradient that arrives from outside
    the layer at the same step, not through later steps; ``weights`` the gradients of the parameters, under
    torch's names; ``delivered`` what autograd brought to the output (``output``, ``h_n``, ``c_n``); ``parts`` one per
    layer and direction, for the analyses of time.
    """

    total: Quantities
    values: Quantities
    direct: Quantities
    weights: Quantities
    delivered: Quantities
    parts: tuple[Part, ...] = ()

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.total[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.total)

    def __len__(self) -> int:
        return len(self.total)

    def __contains__(self, name: object) -> bool:
        return name in self.total

    def keys(self) -> KeysView[str]:
        """The names of the quantities, as a dict has them."""
        return self.total.keys()

    def __repr__(self) -> str:
        return f"Call({', '.join(f'{n} {tuple(t.shape)}' for n, t in self.total.items())})"
