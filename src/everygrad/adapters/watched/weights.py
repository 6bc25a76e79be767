"""torch's packed weight matrices as one parameter per gate, and gradients back."""

from collections.abc import Mapping

import torch

from everygrad.adapters.watched.setting import GATES, Setting

Tensors = Mapping[str, torch.Tensor]


def split(setting: Setting, weights: Tensors) -> dict[str, torch.Tensor]:
    """One layer's weights (torch's names without suffix) as ours: U_i, W_i, b_i, ...

    torch keeps the gates one below the other, and adds two biases. Their sum is our b, but for the GRU's new
    gate: there b_hn is inside r ⊙ (W_n h + b_hn), and stays a parameter of its own.
    """
    gates, n = GATES[setting.family], setting.units
    parts: dict[str, torch.Tensor] = {}
    for k, gate in enumerate(gates):
        rows = slice(k * n, (k + 1) * n)
        parts[f"U{gate}"] = weights["weight_ih"][rows]
        parts[f"W{gate}"] = weights["weight_hh"][rows]
        if setting.bias:
            b, b_h = weights["bias_ih"][rows], weights["bias_hh"][rows]
            parts[f"b{gate}"] = b if gate == "_n" else b + b_h
            if gate == "_n":
                parts["b_hn"] = b_h
    if setting.projection:
        parts["R"] = weights["weight_hr"]
    return parts


def join(setting: Setting, gradients: Tensors) -> dict[str, torch.Tensor]:
    """The gradients of our parameters as those of torch's (names without suffix): the inverse of `split`.

    Two biases that are added have the same gradient.
    """
    gates = GATES[setting.family]
    joined = {
        "weight_ih": torch.cat([gradients[f"U{gate}"] for gate in gates]),
        "weight_hh": torch.cat([gradients[f"W{gate}"] for gate in gates]),
    }
    if setting.bias:
        joined["bias_ih"] = torch.cat([gradients[f"b{gate}"] for gate in gates])
        inner = [gradients["b_hn" if gate == "_n" else f"b{gate}"] for gate in gates]
        joined["bias_hh"] = torch.cat(inner)
    if setting.projection:
        joined["weight_hr"] = gradients["R"]
    return joined
