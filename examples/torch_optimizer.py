"""torch's own optimiser, driven by everygrad's gradients: assign them to ``.grad``, and step.

The parameters are torch's, the gradients come from `everygrad.gradients` on NumPy views of the same
memory. Nothing is recorded by torch's automatic differentiation.
"""

import argparse
from collections.abc import Sequence

import numpy as np
import torch

import everygrad as eg
from everygrad.data import load


def main(arguments: Sequence[str] | None = None) -> float:
    parser = argparse.ArgumentParser(description="Train on handwritten digits with torch.optim.AdamW.")
    parser.add_argument("--epochs", type=int, default=15)
    epochs = parser.parse_args(arguments).epochs

    data = load("digits")
    net = eg.FeedForward([64, 32, 16, 10], activation="tanh")
    params = {name: torch.nn.Parameter(torch.from_numpy(p)) for name, p in net.init(seed=0).items()}
    optimizer = torch.optim.AdamW(params.values(), lr=3e-3, weight_decay=1e-2)
    shared = {name: p.detach().numpy() for name, p in params.items()}  # the same memory: follows every step

    rng = np.random.default_rng(0)
    accuracy = 0.0
    for epoch in range(1, epochs + 1):
        losses = []
        for rows in np.array_split(rng.permutation(len(data.x_train)), len(data.x_train) // 32):
            g = eg.gradients(net, shared, data.x_train[rows], data.y_train[rows])
            for name, p in params.items():
                p.grad = torch.from_numpy(np.ascontiguousarray(g[name]))
            optimizer.step()
            losses.append(float(g.loss))
        logits = eg.forward(net, shared, data.x_test, of=net.prediction)[net.prediction]
        accuracy = float((logits.argmax(-1) == data.y_test).mean())
        print(f"epoch {epoch:2d}  loss {np.mean(losses):.4f}  held-out accuracy {accuracy:.4f}")
    return accuracy


if __name__ == "__main__":
    main()
