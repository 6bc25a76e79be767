"""optax's own optimiser, driven by everygrad's gradients: JAX arrays in, JAX arrays out, one ``jax.jit``.

`everygrad.gradients` is written on the array API standard, so JAX can trace it: the closed-form gradients
and the optimiser's step are compiled together.
"""

import argparse
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

import everygrad as eg
from everygrad.data import load


def main(arguments: Sequence[str] | None = None) -> float:
    parser = argparse.ArgumentParser(description="Train on handwritten digits with optax.adam.")
    parser.add_argument("--epochs", type=int, default=15)
    epochs = parser.parse_args(arguments).epochs

    data = load("digits")
    x, x_test = (jnp.asarray(part, jnp.float32) for part in (data.x_train, data.x_test))
    y = jnp.asarray(data.y_train)
    net = eg.FeedForward([64, 32, 16, 10], activation="tanh")
    params = {name: jnp.asarray(p) for name, p in net.init(seed=0, dtype=np.float32).items()}
    optimizer = optax.adam(3e-3)
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, x, y):
        g = eg.gradients(net, params, x, y)
        updates, state = optimizer.update({name: g[name] for name in params}, state, params)
        return optax.apply_updates(params, updates), state, g.loss

    rng = np.random.default_rng(0)
    accuracy = 0.0
    for epoch in range(1, epochs + 1):
        losses = []
        order = rng.permutation(len(x))
        for rows in order[: len(x) // 32 * 32].reshape(-1, 32):  # batches of one size: compiled once
            params, state, loss = step(params, state, x[rows], y[rows])
            losses.append(float(loss))
        logits = np.asarray(eg.forward(net, params, x_test, of=net.prediction)[net.prediction])
        accuracy = float((logits.argmax(-1) == data.y_test).mean())
        print(f"epoch {epoch:2d}  loss {np.mean(losses):.4f}  held-out accuracy {accuracy:.4f}")
    return accuracy


if __name__ == "__main__":
    main()
