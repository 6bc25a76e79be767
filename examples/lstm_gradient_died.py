"""Where does the gradient of an LSTM die? The usual recipe cannot know, and does not say so.

The loss reads the last step. ``y.retain_grad()`` on the output of ``nn.LSTM`` then shows zeros at every step before
it: not because nothing arrives there, but because the stacked output is not upstream of the recurrence. What it
shows is only the *direct* part, what the loss says about a step itself; what arrives through later steps is inside of
the fused layer. ``eg.watch`` takes the direct part and computes the inside in closed form.

That the second row is the true one is shown by the third: the same network as a loop of ``nn.LSTMCell``, in which every
state is a tensor of its own.
"""

import torch
from torch import nn

import everygrad as eg


def norms(g: torch.Tensor) -> list[float]:
    """The norm of a gradient (batch, time, units) at each step."""
    return g.norm(dim=(0, 2)).tolist()


def loop_of_cells(lstm: nn.LSTM, x: torch.Tensor) -> list[float]:
    """The gradient of the states by autograd, without the fused layer."""
    cell = nn.LSTMCell(lstm.input_size, lstm.hidden_size)
    cell.load_state_dict({name: getattr(lstm, f"{name}_l0") for name, _ in cell.named_parameters()})
    state, states = None, []
    for step in x.unbind(dim=1):
        state = cell(step, state)
        state[0].retain_grad()
        states.append(state[0])
    states[-1].sum().backward()
    return norms(torch.stack([h.grad for h in states], dim=1))


def main() -> dict[str, list[float]]:
    torch.manual_seed(0)
    lstm = nn.LSTM(input_size=3, hidden_size=5, batch_first=True)
    x = torch.randn(5, 6, 3)  # five sequences of six steps

    with eg.watch(lstm) as seen:
        y, _ = lstm(x)
        y.retain_grad()
        y[:, -1].sum().backward()

    layer = seen["LSTM"]
    rows = {
        "y.retain_grad()": norms(y.grad),
        "eg.watch, h": norms(layer["h_l0"]),
        "loop of nn.LSTMCell, h": loop_of_cells(lstm, x),
        "eg.watch, h, direct part": norms(layer.direct["h_l0"]),
        "eg.watch, c": norms(layer["c_l0"]),
        "eg.watch, forget gate": norms(layer["f_l0"]),
    }
    print(f"{'norm of the gradient at step':<28}" + "".join(f"{k:>8}" for k in range(6)))
    for name, row in rows.items():
        print(f"{name:<28}" + "".join(f"{value:8.3f}" for value in row))
    print()
    print(seen)
    print()
    print(seen.verdict())
    return rows


if __name__ == "__main__":
    main()
