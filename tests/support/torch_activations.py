"""The elementwise functions as torch has them, for oracles."""

import torch

ACTIVATIONS = {
    "identity": lambda a: a * 1.0,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.nn.functional.relu,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "elu": torch.nn.functional.elu,
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": lambda a: torch.nn.functional.gelu(a, approximate="tanh"),
    "silu": torch.nn.functional.silu,
    "softplus": torch.nn.functional.softplus,
    "exp": torch.exp,
    "square": torch.square,
    "power": lambda a: a**2,
    "sin": torch.sin,
    "cos": torch.cos,
}
