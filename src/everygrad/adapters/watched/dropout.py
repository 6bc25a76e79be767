"""The masks of the dropout between layers, which torch draws inside of the call."""

import torch
from torch.nn.functional import dropout


def random_state(device: torch.device) -> torch.Tensor:
    """The state of the generator that dropout on this device draws from."""
    return torch.get_rng_state() if device.type == "cpu" else torch.get_device_module(device).get_rng_state(device)


def masks(shape: tuple[int, ...], like: torch.Tensor, count: int, p: float, state: torch.Tensor) -> list[torch.Tensor]:
    """What the outputs of ``count`` layers, of this shape, were multiplied with: 0 or 1/(1 − p).

    Drawn again from the state that the generator had before the call: the recurrent layers themselves draw
    nothing. Whether the masks are the same is seen by the layer's output, which must come out as it did. The
    generator is left as it was.
    """
    device = like.device
    others = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(others, device_type=device.type if others else "cuda"):
        if others:
            torch.get_device_module(device).set_rng_state(state, device)
        else:
            torch.set_rng_state(state)
        ones = like.new_ones(shape)
        return [dropout(ones, p, training=True) for _ in range(count)]
