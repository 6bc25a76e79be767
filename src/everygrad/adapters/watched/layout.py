"""How a call lays out its sequences, and the way to time-major arrays of all samples and back."""

from dataclasses import dataclass
from typing import final

import torch
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence


@final
@dataclass(frozen=True, slots=True)
class Packing:
    """A packed sequence without its numbers: how many sequences have each step, and their order."""

    sizes: torch.Tensor
    order: torch.Tensor | None
    back: torch.Tensor | None

    def padded(self, data: torch.Tensor) -> torch.Tensor:
        """(time, batch, features) in the original order, zero behind the end of each sequence."""
        return pad_packed_sequence(PackedSequence(data, self.sizes, self.order, self.back))[0]

    @property
    def lengths(self) -> torch.Tensor:
        """How many steps each sequence has, in the original order (on the host, as torch has them)."""
        sequence = torch.arange(int(self.sizes[0]))
        lengths = (self.sizes.cpu()[:, None] > sequence).sum(0)
        return lengths if self.back is None else lengths[self.back.cpu()]


@final
@dataclass(frozen=True, slots=True)
class Layout:
    """The axes of one call: which is time, whether there is a batch; a packed call's results are padded.

    The calls of a cell are the steps of one sequence, time first; its states have no axis of layers.
    """

    batch_first: bool
    batched: bool
    is_cell: bool
    packing: Packing | None

    def enter(self, sequences: torch.Tensor) -> torch.Tensor:
        """Time-major (time, batch, features), from the layout of the call: its packed data, if it was packed."""
        if self.packing is not None:
            return self.packing.padded(sequences)
        if not self.batched:
            return sequences[:, None]
        return sequences.transpose(0, 1) if self.batch_first else sequences

    def leave(self, array: torch.Tensor) -> torch.Tensor:
        """From time-major to the layout of the call."""
        if not self.batched:
            return array[:, 0]
        return array.transpose(0, 1) if self.batch_first else array

    def enter_state(self, state: torch.Tensor) -> torch.Tensor:
        """(layers x directions, batch, units) of what torch calls h_0, c_0, h_n or c_n."""
        if self.is_cell:
            return (state if self.batched else state[None])[None]
        return state if self.batched else state[:, None]

    def leave_state(self, state: torch.Tensor) -> torch.Tensor:
        """The inverse of `enter_state`."""
        if self.is_cell:
            return state[0] if self.batched else state[0, 0]
        return state if self.batched else state[:, 0]

    def mask(self, device: torch.device) -> torch.Tensor | None:
        """(time, batch): True where a sequence has a step; None if all have all."""
        if self.packing is None:
            return None
        step = torch.arange(len(self.packing.sizes))
        return (step[:, None] < self.packing.lengths).to(device)
