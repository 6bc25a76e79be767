"""Small networks with data, and a training written out with torch: the oracle of the loop."""

from collections.abc import Callable, Mapping

import numpy as np
import torch

import everygrad as eg
from everygrad.networks import GraphNetwork


def blobs(n: int = 53, features: int = 5, classes: int = 3, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Points around one centre for each class."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return rng.normal(size=(classes, features))[y] + 0.8 * rng.normal(size=(n, features)), y


def skip_network() -> tuple[GraphNetwork, dict[str, np.ndarray]]:
    """One's own graph with two paths that add, a scalar parameter, and a penalty on the weights."""

    def f(x, y, *, W, b, V, scale):
        h = eg.ops.tanh(W @ x + b) + x * scale
        a = V @ h
        loss = eg.ops.softmax_cross_entropy(a, y)
        return loss + 0.01 * scale * scale

    rng = np.random.default_rng(3)
    shapes = {"W": (5, 5), "b": (5,), "V": (3, 5), "scale": ()}
    return GraphNetwork(eg.graph(f), "a", shapes), {n: np.asarray(rng.normal(size=s)) for n, s in shapes.items()}


def torch_skip_loss(p: Mapping[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    h = torch.tanh(x @ p["W"].T + p["b"]) + x * p["scale"]
    return torch.nn.functional.cross_entropy(h @ p["V"].T, y) + 0.01 * p["scale"] ** 2


def torch_tanh_logits(p: Mapping[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The prediction of ``FeedForward([..., ..., ...])``: one hidden layer of tanh."""
    return torch.tanh(x @ p["W1"].T + p["b1"]) @ p["W2"].T + p["b2"]


def torch_training(
    loss: Callable[..., torch.Tensor],
    params: Mapping[str, np.ndarray],
    data: tuple[np.ndarray, ...],
    make: Callable[[list[torch.Tensor]], torch.optim.Optimizer],
    epochs: int,
    batch_size: int,
    seed: int,
) -> tuple[dict[str, np.ndarray], list[float], list[dict[str, float]]]:
    """Parameters, mean loss per epoch and root-mean-square gradient norms per epoch, by torch's autograd."""
    p = {name: torch.tensor(value, requires_grad=True) for name, value in params.items()}
    tensors = [torch.tensor(array) for array in data]
    optimizer = make(list(p.values()))
    rng, n = np.random.default_rng(seed), len(data[0])
    losses, norms = [], []
    for _ in range(epochs):
        order = torch.tensor(rng.permutation(n))
        total, squares, batches = 0.0, dict.fromkeys(p, 0.0), 0
        for rows in order.split(batch_size):
            optimizer.zero_grad()
            value = loss(p, *(t[rows] for t in tensors))
            value.backward()
            total += float(value.detach()) * len(rows)
            for name, tensor in p.items():
                squares[name] += float((tensor.grad**2).sum())
            batches += 1
            optimizer.step()
        losses.append(total / n)
        norms.append({name: (s / batches) ** 0.5 for name, s in squares.items()})
    return {name: tensor.detach().numpy() for name, tensor in p.items()}, losses, norms
