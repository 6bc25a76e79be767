"""torch's own values and gradients of a whole module, under the names that `from_torch` gives."""

import copy

import torch
from torch import nn

from everygrad.adapters import from_torch
from everygrad.backprop import gradients
from everygrad.checks.tolerance import FRAMEWORK, assert_close
from everygrad.engines import to_numpy

GATES = {nn.RNN: ("",), nn.LSTM: ("_i", "_f", "_g", "_o"), nn.GRU: ("_r", "_z", "_n")}


def of_recurrent(m, of, stem=""):
    """Our names -> what ``of`` gives of torch's packed weights (themselves, or their gradients), cut row by row."""
    kind = next(k for k in GATES if isinstance(m, k))
    n = m.hidden_size
    found = {}
    for layer in range(m.num_layers):
        for reverse in ("", "_reverse") if m.bidirectional else ("",):
            ending = f"_l{layer}{reverse}"
            ih, hh = (of(getattr(m, f"weight_{side}{ending}")) for side in ("ih", "hh"))
            b_ih, b_hh = (of(getattr(m, f"bias_{side}{ending}")) if m.bias else None for side in ("ih", "hh"))
            for k, gate in enumerate(GATES[kind]):
                rows = range(k * n, (k + 1) * n)
                found[f"U{gate}{stem}{ending}"] = torch.stack([ih[r] for r in rows])
                found[f"W{gate}{stem}{ending}"] = torch.stack([hh[r] for r in rows])
                if m.bias:
                    found[f"b{gate}{stem}{ending}"] = torch.stack([b_ih[r] for r in rows])
                if m.bias and gate == "_n":
                    found[f"b_hn{stem}{ending}"] = torch.stack([b_hh[r] for r in rows])
            if getattr(m, "proj_size", 0):
                found[f"R{stem}{ending}"] = of(getattr(m, f"weight_hr{ending}"))
    return found


def gradient(p):
    """What autograd accumulated; zeros where nothing arrived."""
    return torch.zeros_like(p) if p.grad is None else p.grad


def first_tensor(result):
    while isinstance(result, tuple | list):
        result = result[0]
    return result


def torchs_loss(criterion, z, y):
    """The criterion on outputs whose features are last, for each sample or each step."""
    if isinstance(criterion, nn.CrossEntropyLoss):
        return criterion(z.reshape(-1, z.shape[-1]), y.reshape(-1))
    return criterion(z, y.reshape(z.shape))


def assert_same(
    model, x, y, criterion=None, *, axes=None, torchs=lambda x: x, ours=lambda z: z, stems=None, tol=FRAMEWORK, skip=()
):
    """Output, loss and every gradient against autograd; returns (network, gradients).

    Batch and steps must differ in number, so that shapes tell which axis comes first. ``x`` are our inputs, one or a
    tuple; ``torchs`` makes torch's of them, ``ours`` our output of torch's; ``stems`` is what the names of each
    recurrent module carry, by path; ``skip`` names parameters compared elsewhere.
    """
    criterion = criterion or nn.CrossEntropyLoss()
    xs = x if isinstance(x, tuple) else (x,)
    kept = copy.deepcopy(model.state_dict())
    net, params = from_torch(model, criterion, axes=axes)
    g = gradients(net, params, *map(to_numpy, xs), to_numpy(y))

    leaves = [v.detach().clone().requires_grad_() if v.is_floating_point() else v for v in xs]
    model.zero_grad()
    outputs = {}
    called = {}
    hooks = [m.register_forward_hook(keep(outputs, path)) for path, m in model.named_modules() if is_linear(m)]
    hooks += [m.register_forward_hook(note(called, path)) for path, m in model.named_modules() if is_recurrent(m)]
    given = [v * 1.0 if v.is_floating_point() else v for v in leaves]  # forward may work on them in place
    z = first_tensor(model(*map(torchs, given)))
    loss = torchs_loss(criterion, ours(z), y)
    loss.sum().backward()
    for hook in hooks:
        hook.remove()

    assert_close(g.loss, loss, tol, "loss")
    assert_close(g.trace[net.prediction].reshape(ours(z).shape), ours(z), tol, "output")
    for name, leaf in zip(net.graph.data, leaves, strict=False):
        if leaf.is_floating_point():
            assert_close(g[name], leaf.grad, tol, f"gradient of {name}")
    for path, ((h, version), *more) in outputs.items():  # each Linear and Embedding called once, under its own name
        untouched = not more and h._version == version
        if path in net.graph.aliases and untouched and h.ndim == g.trace[path].ndim:  # else steps as rows
            turn = (lambda v: v) if g.trace[path].shape == h.shape else lambda v: v.transpose(0, 1)
            assert_close(g.trace[path], turn(h), tol, f"output of {path}")
            assert_close(g[path], turn(gradient(h)), tol, f"gradient at {path}")

    expected = {}
    for path, m in called.items():
        stem = (stems or {}).get(path, "")
        expected |= {name: (v, of_recurrent(m, gradient, stem)[name]) for name, v in values_of(m, stem).items()}
    inside = {id(p) for m in model.modules() if is_recurrent(m) for p in m.parameters()}
    for name, p in model.named_parameters():
        if id(p) not in inside and (name in net.graph.aliases or name in params):
            expected[net.graph.resolve(name)] = (p, gradient(p))
    assert set(params) - set(skip) <= set(expected), "a parameter is compared with nothing"
    for name in set(params) - set(skip):
        value, of_value = expected[name]
        assert_close(params[name], value, tol, name)
        assert_close(g[name] if name in g else 0 * params[name], of_value, tol, f"gradient of {name}")
    for name, value in model.state_dict().items():
        assert torch.equal(value, kept[name]), "the model was changed"
    return net, g


def values_of(m, stem):
    """Our parameters from torch's: the two biases are added, but for the GRU's new gate."""
    found = of_recurrent(m, lambda p: p, stem)
    if m.bias:
        n = m.hidden_size
        for layer in range(m.num_layers):
            for reverse in ("", "_reverse") if m.bidirectional else ("",):
                b_hh = getattr(m, f"bias_hh_l{layer}{reverse}")
                for k, gate in enumerate(GATES[next(k for k in GATES if isinstance(m, k))]):
                    if gate != "_n":
                        found[f"b{gate}{stem}_l{layer}{reverse}"] = (
                            found[f"b{gate}{stem}_l{layer}{reverse}"] + b_hh[k * n : (k + 1) * n]
                        )
    return found


def is_linear(m):
    return isinstance(m, nn.Linear | nn.Embedding)


def is_recurrent(m):
    return isinstance(m, tuple(GATES))


def note(called, path):
    def hook(module, args, output):
        called[path] = module

    return hook


def keep(outputs, path):
    def hook(module, args, output):
        if output.requires_grad:
            output.retain_grad()
            outputs.setdefault(path, []).append((output, output._version))

    return hook
