"""Three recurrent cells of one's own, each a short function, with every gradient over time.

A cell is a function ``(x, states, parameters) -> states`` of symbols. `eg.Cell` adds the sizes, and `eg.Recurrent`
makes a network of it: stacked, bidirectional, read where you like. Every local variable is a quantity with a value and
a gradient at each step.
"""

import numpy as np

import everygrad as eg

sigmoid, tanh = eg.ops.sigmoid, eg.ops.tanh
N, IN = 6, 3


def leaky(x, states, p):
    """A leaky integrator with a learnt rate for each unit: h_k = (1 − r) h_{k−1} + r tanh(a_k)."""
    a = p.U @ x + p.b + p.W @ states.h
    r = sigmoid(p.rate)
    return (1 - r) * states.h + r * tanh(a)


def peephole(x, states, p):
    """An LSTM whose gates also see the memory (Gers & Schmidhuber 2000): i, f see c_{k−1}, o sees c_k."""
    h, c_prev = states
    i = sigmoid(p.U_i @ x + p.b_i + p.W_i @ h + p.p_i * c_prev)
    f = sigmoid(p.U_f @ x + p.b_f + p.W_f @ h + p.p_f * c_prev)
    g = tanh(p.U_g @ x + p.b_g + p.W_g @ h)
    c = f * c_prev + i * g
    o = sigmoid(p.U_o @ x + p.b_o + p.W_o @ h + p.p_o * c)
    return o * tanh(c), c


def minimal(x, states, p):
    """The minimal gated unit (Zhou et al. 2016): one gate forgets and resets."""
    h = states.h
    f = sigmoid(p.U_f @ x + p.b_f + p.W_f @ h)
    n = tanh(p.U_n @ x + p.b_n + p.W_n @ (f * h))
    return (1 - f) * h + f * n


def gates(*names):
    """The shapes of U, b, W for each gate, for any number of inputs."""

    def shapes(inputs):
        return {
            f"{letter}{gate}": shape
            for gate in names
            for letter, shape in (("U", (N, inputs)), ("b", (N,)), ("W", (N, N)))
        }

    return shapes


CELLS = {
    "leaky": eg.Cell(leaky, IN, {"h": N}, lambda inputs: {**gates("")(inputs), "rate": (N,)}),
    "peephole": eg.Cell(
        peephole,
        IN,
        {"h": N, "c": N},
        lambda inputs: {**gates("_i", "_f", "_g", "_o")(inputs), "p_i": (N,), "p_f": (N,), "p_o": (N,)},
    ),
    "minimal": eg.Cell(minimal, IN, {"h": N}, gates("_f", "_n")),
}


def main() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 12, IN)), rng.integers(0, 2, 4)
    for cell in CELLS.values():
        net = eg.Recurrent(cell, outputs=2)
        g = eg.gradients(net, net.init(seed=0), x, y)
        print(net)
        for name in cell.cell.quantities:
            norms = np.linalg.norm(g[name], axis=(0, 2))
            print(f"  {name:<4} first step {norms[0]:.2e}   last step {norms[-1]:.2e}")


if __name__ == "__main__":
    main()
