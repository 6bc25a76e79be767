"""The oracle for the inside of torch's recurrent layers: plain loops over samples, layers, directions and steps,
written from the equations in torch's documentation, and differentiated by autograd with `retain_grad`.
"""

from dataclasses import dataclass

import torch
from torch import nn

Tensor = torch.Tensor


def step(module, weights, x, states):
    """One step of one sample, gate by gate: every quantity by name; ``h`` (and ``c``) are the states after it."""
    h, H = states["h"], module.hidden_size

    def part(k):
        """The k-th block of rows: what comes from the input, and what from the state."""
        rows = slice(k * H, (k + 1) * H)
        from_x, from_h = weights["weight_ih"][rows] @ x, weights["weight_hh"][rows] @ h
        if module.bias:
            from_x, from_h = from_x + weights["bias_ih"][rows], from_h + weights["bias_hh"][rows]
        return from_x, from_h

    q = {}
    if isinstance(module, nn.RNN | nn.RNNCell):
        q["a"] = sum(part(0))
        q["h"] = torch.tanh(q["a"]) if module.nonlinearity == "tanh" else torch.relu(q["a"])
    elif isinstance(module, nn.LSTM | nn.LSTMCell):
        for k, gate in enumerate("ifgo"):
            q[f"a_{gate}"] = sum(part(k))
            q[gate] = torch.tanh(q[f"a_{gate}"]) if gate == "g" else torch.sigmoid(q[f"a_{gate}"])
        q["c"] = q["f"] * states["c"] + q["i"] * q["g"]
        q["h"] = q["o"] * torch.tanh(q["c"])
        if "weight_hr" in weights:
            q["m"] = q["h"]
            q["h"] = weights["weight_hr"] @ q["m"]
    else:
        for k, gate in enumerate("rz"):
            q[f"a_{gate}"] = sum(part(k))
            q[gate] = torch.sigmoid(q[f"a_{gate}"])
        from_x, from_h = part(2)
        q["a_n"] = from_x + q["r"] * from_h
        q["n"] = torch.tanh(q["a_n"])
        q["h"] = (1 - q["z"]) * q["n"] + q["z"] * h
    for tensor in q.values():
        if tensor.requires_grad:
            tensor.retain_grad()
    return q


@dataclass
class Step:
    """One step of one sample in one layer and direction. ``out`` is a copy of h for whoever is outside of the layer."""

    x: Tensor
    before: dict
    q: dict
    out: Tensor
    ends: dict  # copies of the states for h_n and c_n, at the last step


class Loop:
    """A whole module unrolled. ``output`` (time, batch, features) is padded with zeros; ``last`` has h_n and c_n."""

    def __init__(self, module, sequences, initial=None, masks=()):
        """``sequences``: a list of (steps, features); ``initial``: h_0 and c_0 (layers x directions, batch, units);
        ``masks``: one for each sequence and layer but the last, (steps, features).
        """
        self.module = module
        self.is_cell = isinstance(module, nn.RNNCellBase)
        self.layers = 1 if self.is_cell else module.num_layers
        self.directions = 2 if not self.is_cell and module.bidirectional else 1
        self.lengths = [len(s) for s in sequences]
        self.weights = {n: p.detach().clone().requires_grad_() for n, p in module.named_parameters()}
        projected = 0 if self.is_cell else module.proj_size
        self.sizes = {"h": projected or module.hidden_size}
        if isinstance(module, nn.LSTM | nn.LSTMCell):
            self.sizes["c"] = module.hidden_size
        count, batch = self.layers * self.directions, len(sequences)
        zero = {s: torch.zeros(count, batch, n, dtype=sequences[0].dtype) for s, n in self.sizes.items()}
        self.initial = {s: t.detach().clone().requires_grad_() for s, t in (zero | (initial or {})).items()}
        self.inputs = {}  # (layer, sample) -> rows
        self.steps = {}  # (layer, direction, sample) -> list of Step, by time
        outputs, ends = [], {}
        for b, sequence in enumerate(sequences):
            rows = [x.detach().clone().requires_grad_() for x in sequence]
            for layer in range(self.layers):
                self.inputs[layer, b] = rows
                halves = [self._direction(layer, d, b, rows, ends) for d in range(self.directions)]
                rows = [torch.cat(both) for both in zip(*halves, strict=True)]
                if layer < len(masks):
                    rows = [row * masks[layer][b][t] for t, row in enumerate(rows)]
                for row in rows:
                    row.retain_grad()
            outputs.append(torch.stack(rows))
        self.output = nn.utils.rnn.pad_sequence(outputs)
        self.last = {
            s: torch.stack([torch.stack([ends[k, b, s] for b in range(batch)]) for k in range(count)])
            for s in self.sizes
        }

    def suffix(self, layer, direction):
        return "" if self.is_cell else f"_l{layer}" + ("_reverse" if direction else "")

    def _direction(self, layer, direction, b, rows, ends):
        k, suffix = layer * self.directions + direction, self.suffix(layer, direction)
        weights = {n.removesuffix(suffix): w for n, w in self.weights.items() if _belongs(n, suffix)}
        states = {s: self.initial[s][k, b] for s in self.sizes}
        taken = {}
        order = range(len(rows))
        for t in reversed(order) if direction else order:
            q = step(self.module, weights, rows[t], states)
            out = q["h"] * 1
            out.retain_grad()
            taken[t] = Step(rows[t], states, q, out, {})
            states = {s: q[s] for s in self.sizes}
        for s, state in states.items():
            ends[k, b, s] = taken[t].ends[s] = state * 1
            taken[t].ends[s].retain_grad()
        self.steps[layer, direction, b] = [taken[t] for t in order]
        return [taken[t].out for t in order]

    def gradients(self):
        """After backward: every total gradient (time, batch, units) under the names of a watched layer."""
        return (
            self._gathered(lambda step: {name: v.grad for name, v in step.q.items()}) | self._inputs() | self._states()
        )

    def values(self):
        return self._gathered(lambda step: step.q)

    def direct(self):
        """After backward: the direct gradients: each step again, alone, with the states before it held constant."""
        found = {}

        def alone(at):
            layer, direction, b, t = at
            s = self.steps[layer, direction, b][t]
            suffix = self.suffix(layer, direction)
            weights = {n.removesuffix(suffix): w.detach() for n, w in self.weights.items() if _belongs(n, suffix)}
            x = s.x.detach().requires_grad_()
            q = step(self.module, weights, x, {n: v.detach() for n, v in s.before.items()})
            arriving = {"h": _or_zero(s.out)}
            for state, end in s.ends.items():
                arriving[state] = arriving.get(state, 0) + _or_zero(end)
            torch.autograd.backward([(q[n] * g).sum() for n, g in arriving.items()])
            key = (layer, b, t)
            found[key] = found.get(key, 0) + _or_zero(x)
            return {name: v.grad for name, v in q.items()}

        quantities = self._gathered(alone, by_place=True)
        rows = {
            layer: [torch.stack([found[layer, b, t] for t in range(T)]) for b, T in enumerate(self.lengths)]
            for layer in range(self.layers)
        }
        return quantities | {self._x(layer): nn.utils.rnn.pad_sequence(r) for layer, r in rows.items()}

    def _x(self, layer):
        return f"x{self.suffix(layer, 0)}" if layer else "x"

    def _gathered(self, read, by_place=False):
        found = {}
        for layer in range(self.layers):
            for direction in range(self.directions):
                sequences = {}
                for b in range(len(self.lengths)):
                    for t, s in enumerate(self.steps[layer, direction, b]):
                        for name, value in read((layer, direction, b, t) if by_place else s).items():
                            value = torch.zeros_like(s.q[name]) if value is None else value.detach()
                            sequences.setdefault(name, {}).setdefault(b, []).append(value)
                for name, rows in sequences.items():
                    padded = nn.utils.rnn.pad_sequence([torch.stack(rows[b]) for b in sorted(rows)])
                    found[name + self.suffix(layer, direction)] = padded
        return found

    def _inputs(self):
        return {
            self._x(layer): nn.utils.rnn.pad_sequence(
                [torch.stack([_or_zero(x) for x in self.inputs[layer, b]]) for b in range(len(self.lengths))]
            )
            for layer in range(self.layers)
        }

    def _states(self):
        return {f"{s}_0": _or_zero(t) for s, t in self.initial.items()}


def _belongs(name, suffix):
    return name.endswith(suffix) and (suffix.endswith("_reverse") or not name.endswith("_reverse"))


def _or_zero(tensor):
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad.detach()
