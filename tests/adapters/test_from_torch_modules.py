"""Whole modules with a forward of their own: the same outputs and the same gradients as torch's autograd."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from everygrad.adapters import from_torch
from everygrad.backprop import gradients
from everygrad.checks import check
from everygrad.checks.tolerance import FRAMEWORK, SINGLE, assert_close
from everygrad.engines import to_numpy
from everygrad.networks import FeedForward, GraphNetwork
from tests.adapters.torch_oracle import assert_same, gradient

B, T, D, H, K, V = 5, 7, 3, 4, 2, 6


class Parts(nn.Module):
    """Some layers to use in a forward; each case has its own."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(D, H, batch_first=True)
        self.gru = nn.GRU(D, H, 2, bidirectional=True, batch_first=True)
        self.rnn = nn.RNN(D, H)
        self.projected = nn.LSTM(D, H, proj_size=2, batch_first=True)
        self.table = nn.Embedding(V, D)
        self.read, self.read8, self.deep, self.up = (nn.Linear(n, m) for n, m in ((H, K), (2 * H, K), (H, H), (D, H)))
        self.pixels = nn.Linear(12, K)
        self.flat = nn.Sequential(nn.Flatten(), nn.Identity())
        self.rectify = nn.ReLU(inplace=True)
        self.gain = nn.Parameter(torch.linspace(0.5, 1.5, H))
        self.mix = nn.Parameter(torch.tensor(0.3))
        self.register_buffer("scale", torch.tensor(0.7))


CASES = {}


def case(x="bti", y="b", **options):
    """A forward of `Parts`; ``x``: what torch's input is, ``y``: targets for each sample (b) or each step (bt)."""

    def keep(forward):
        CASES[forward.__name__] = (forward, x, y, options)
        return forward

    return keep


@case()
def last_step(self, x):
    return self.read(self.lstm(x)[0][:, -1])


@case()
def last_step_in_full(self, x):
    out, (_h, _c) = self.lstm(x)
    return self.read(out[:, -1, :])


@case()
def a_fixed_step(self, x):
    out, _ = self.lstm(input=x)
    return self.read(out[:, 2]) - self.read(out[..., -3, :])


@case()
def step_by_select(self, x):
    return self.read(self.lstm(x)[0].select(1, 0))


@case()
def last_state(self, x):
    _, (h, _) = self.lstm(x)
    return self.read(h[-1])


@case()
def states_squeezed(self, x):
    _, (h, c) = self.lstm(x)
    return self.read(h.squeeze(0) + c.squeeze().squeeze(0))


@case("tbi")
def time_first(self, x):
    return self.read(self.rnn(x)[0][-1])


@case()
def time_first_after_transpose(self, x):
    return self.read(self.rnn(x.transpose(0, 1))[0][-1])


@case()
def time_first_after_permute(self, x):
    out, h = self.rnn(x.permute(1, 0, 2))
    return self.read(out.mean(0) * h[0])


@case("tbi")
def batch_first_after_transpose(self, x):
    return self.read(self.lstm(x.transpose(1, 0))[0].mean(dim=1))


@case("tbi", "bt")
def each_step_time_first(self, x):
    return self.read(self.rnn(x)[0])


@case("bti", "bt")
def each_step(self, x):
    return self.read(torch.relu(self.lstm(x)[0]))


@case("bti", "bt")
def each_step_as_rows(self, x):
    out, _ = self.lstm(x)
    batch, time, _ = x.shape
    return self.read(out.contiguous().view(-1, H)).view(batch, time, K)


@case("bti", "bt")
def each_step_left_as_rows(self, x):
    return self.read(self.lstm(x)[0].flatten(0, 1))


@case("tbi", "bt")
def rows_of_time_first(self, x):
    out, _ = self.rnn(x)
    return self.read(out.reshape(x.shape[0] * x.shape[1], H)).reshape(x.size(0), -1, K)


@case()
def both_directions_by_cat(self, x):
    _, h = self.gru(x)
    return self.read8(torch.cat([h[-2], h[-1]], 1))


@case()
def both_directions_by_stack(self, x):
    _, h = self.gru(x)
    return self.read8(torch.stack([h[3, :, :], h[2, :, :]], dim=1).flatten(1))


@case()
def states_as_layers_and_directions(self, x):
    h = self.gru(x)[1].view(2, 2, x.size(0), H)
    return self.read8(torch.cat((h[-1, 0], h[0, 1]), dim=-1))


@case()
def states_in_a_row(self, x):
    h = self.gru(x)[1]
    return self.read8(h[-2:].permute(1, 0, 2).reshape(x.size(0), -1))


@case()
def states_in_a_row_by_transpose(self, x):
    h = self.gru(x)[1]
    return self.read8(h[:2].transpose(0, 1).flatten(start_dim=1))


@case()
def states_flattened_by_a_module(self, x):
    return self.read8(self.flat(self.gru(x)[1][1:3].transpose(0, 1)))


@case()
def states_unbound(self, x):
    a, b, c, d = self.gru(x)[1].unbind(0)
    return self.read(a * b - c * d) + self.read(self.gru(x)[1].mean(0)) + self.read(self.gru(x)[1].sum(0))


@case()
def halves_of_the_output(self, x):
    forwards, backwards = self.gru(x)[0].chunk(2, dim=-1)
    return self.read(forwards[:, -1] + backwards[:, 0])


@case()
def halves_by_slices(self, x):
    out, _ = self.gru(x)
    return self.read(torch.add(out[:, -1, :H], out[:, 0, H:], alpha=0.5))


@case()
def halves_by_view(self, x):
    out, _ = self.gru(x)
    out = out.view(x.size(0), x.size(1), 2, H)
    return self.read(out.sum(2)[:, -1]) + self.read(out[:, 0, 1])


@case()
def halves_by_split(self, x):
    out, _ = self.gru(x)
    a, b, c = out.mean(1).split([1, H - 1, H], dim=1)
    return self.read(torch.cat([b, a], 1) / (2.0 + c**2)) + self.read(torch.split(out[:, 1], H, dim=-1)[1])


@case()
def a_projection(self, x):
    out, (h, c) = self.projected(x)
    return out[:, 2] + h.squeeze(0) - self.read(c[0])


@case("bt")
def tokens(self, x):
    return self.read(self.lstm(self.table(x))[0][:, -1])


@case("bt", "bt")
def tokens_to_each_step(self, x):
    return self.read(self.lstm(self.table(x.long()))[0])


@case("tb")
def tokens_time_first(self, x):
    return self.read(self.rnn(self.table(x))[0][-1])


@case("bt")
def tokens_turned(self, x):
    return self.read(self.rnn(self.table(x.t() if False else x.transpose(0, 1)))[0][-1])


@case("bt")
def mean_of_tokens(self, x):
    return self.read(torch.tanh(self.up(self.table(x).mean(1))))


@case("b")
def one_token(self, x):
    return self.read(torch.tanh(self.up(self.table(x))))


@case("bt", "bt", classes=V)
def tied_table(self, x):
    return F.linear(self.table(x) + self.lstm(self.table(x))[0][:, :, :D], self.table.weight)


@case()
def a_layer_called_twice(self, x):
    first, _ = self.lstm(x)
    second, _ = self.lstm(torch.sin(x))
    return self.read(first[:, -1]) * self.read(second.mean(1))


@case()
def encoder_and_decoder(self, x):
    _, state = self.lstm(x)
    out, _ = self.lstm(torch.cos(x), state)
    return self.read(out[:, -1])


@case()
def computed_initial_state(self, x):
    h = torch.tanh(self.up(x[:, 0])).unsqueeze(0)
    return self.read(self.lstm(x, (h, torch.zeros_like(h)))[0][:, -1])


@case()
def zero_initial_state(self, x):
    h = torch.zeros(1, x.size(0), H, device=x.device, dtype=x.dtype).requires_grad_()
    c = x.new_zeros(1, x.shape[0], H)
    return self.read(self.lstm(x, (h.detach(), c.to(x.device)))[0][:, -1])


@case()
def zero_initial_state_of_fixed_size(self, x):
    return self.read8(self.gru(x, torch.zeros(4, B, H, dtype=torch.float64))[0][:, -1])


@case()
def residual_steps(self, x):
    h = self.lstm(x)[0] + self.up(x)
    h = h + torch.sigmoid(self.deep(h))
    return self.read(h[:, -1])


@case()
def own_parameters_and_constants(self, x):
    h = self.gain * self.lstm(x)[0] - self.scale
    return self.read(1.0 - h.mean(1) * 2 + (-h[:, -1]))


@case()
def functions_of_own_parameters(self, x):
    keep = torch.sigmoid(self.mix)
    h = keep * self.lstm(x)[0] + (1 - keep) * torch.tanh(self.up(x)) / self.gain.exp()
    return self.read(h[:, -1] * self.mix)


@case()
def own_matrix(self, x):
    return self.lstm(x)[0][:, -1] @ self.read.weight.T + self.read.bias


@case()
def steps_of_the_input(self, x):
    return self.read(torch.tanh(self.up(x[:, 0]) + self.up(x[:, -1])))


@case()
def one_feature_of_each_step(self, x):
    first = x[:, :, :1] * x[..., [2]]
    return self.read(self.lstm(torch.cat([first, x[:, :, 1:]], dim=2))[0][:, -1])


@case("bt_float")
def a_series_of_numbers(self, x):
    x = x.unsqueeze(-1)
    return self.read(self.lstm(torch.cat([x, x * x, -x], -1))[0][:, -1])


@case("bt_float")
def a_series_by_none(self, x):
    x = x[:, :, None]
    return self.read(self.lstm(torch.cat([x, x.square(), x.exp()], -1))[0][:, -1])


@case("bit")
def features_before_time(self, x):
    return self.read(self.lstm(x.permute(0, 2, 1))[0][:, -1])


@case("channel")
def images_of_one_channel(self, x):
    return self.read(self.lstm(x.squeeze(1))[0][:, -1])


@case("bi")
def perceptron_with_a_shortcut(self, x):
    h = torch.tanh(self.up(x))
    return self.read(h + F.gelu(self.deep(h)))


@case("bi")
def products_of_features(self, x):
    a = self.up(x)
    return self.read(torch.cat([a[:, :2] * a[:, 2:], a[:, [0, 3]]], 1))


@case("bi")
def one_output_at_a_time(self, x):
    a = self.up(x)
    return torch.stack([a[:, 0], a[:, 1] * a[:, 2].unsqueeze(1).squeeze(1)], -1)


@case("bi")
def in_place(self, x):
    a = self.up(x)
    a += 1
    a = a.relu_()
    return self.read(F.relu(a * 2, inplace=True))


@case("bi")
def in_place_beside_a_shortcut(self, x):
    h = self.up(x)
    h = h + self.rectify(self.deep(h))
    return self.read(h - F.elu(self.deep(h), inplace=True))


@case("bi")
def functions(self, x):
    h = F.silu(self.up(x)) + F.elu(self.deep(self.up(x)), alpha=0.7) + F.leaky_relu(self.up(x), 0.3)
    h = torch.sigmoid(h).exp().log().sqrt() + F.softplus(h).sin().cos() + h.tanh().pow(3) + torch.square(h)
    return self.read(h.sub(1, alpha=2).neg() + F.gelu(h, approximate="tanh") + torch.rsub(h, 2))


@case("image")
def flattened_images(self, x):
    return self.pixels(torch.tanh(x).flatten(1)) + self.pixels(x.view(x.shape[0], -1)) + self.pixels(x.reshape(-1, 12))


@case("image_rows")
def images_as_rows(self, x):
    return self.read(self.lstm(x.reshape(-1, 4, 3))[0][:, -1])


@case("bti", "bt", axes="bti")
def linear_at_each_step(self, x):
    return self.read(torch.tanh(self.up(x)))


@case("tbi", "bt", axes="tbi")
def linear_at_each_step_time_first(self, x):
    return self.read(torch.tanh(self.up(x)))


@case()
def asserted(self, x):
    assert x.dim() == 3
    batch, _, features = x.shape
    assert features == D, f"{features} features"
    print(end=str(x.device)[:0])
    return self.read(self.lstm(x)[0][:, -1]).view(batch, K)


@case()
def several_results(self, x):
    out, state = self.lstm(x)
    return self.read(out[:, -1]), state


@case()
def options_at_their_defaults(self, x, state=None, *, last=True):
    if state is None:
        state = None
    out, _ = self.lstm(x, state)
    return self.read(out[:, -1] if last else out[:, 0])


def inputs(kind):
    """(our input, what makes torch's of it, what makes our output of torch's)."""
    same = lambda v: v  # noqa: E731
    turned = lambda v: v.transpose(0, 1)  # noqa: E731
    if kind == "image":
        return torch.randn(B, 3, 4).double(), same, same
    if kind in ("image_rows", "channel"):
        return torch.randn(B, 4, 3).double(), lambda v: v[:, None], same
    if kind == "bit":
        return torch.randn(B, T, D).double(), lambda v: v.transpose(1, 2), same
    if kind == "bt_float":
        return torch.randn(B, T).double(), same, same
    if kind == "bi":
        return torch.randn(B, D).double(), same, same
    if kind == "b":
        return torch.randint(0, V, (B,)), same, same
    x = torch.randn(B, T, D).double() if kind.endswith("i") else torch.randint(0, V, (B, T))
    return x, turned if kind.startswith("tb") else same, turned if kind.startswith("tb") else same


@pytest.mark.parametrize("name", CASES)
def test_a_forward(name):
    torch.manual_seed(1)
    forward, kind, y, options = CASES[name]
    model = type(name, (Parts,), {"forward": forward})().double()
    x, torchs, to_ours = inputs(kind)
    target = torch.randint(0, options.pop("classes", K), (B, T) if y == "bt" else (B,))
    ours = to_ours if y == "bt" else lambda z: z
    if name.endswith("as_rows") or name.startswith("rows"):
        ours = lambda z: z.reshape(T, B, K).transpose(0, 1) if name.startswith("rows") else z.reshape(B, T, K)  # noqa: E731
    if kind == "image_rows":
        ours = lambda z: z  # noqa: E731
    net, _ = assert_same(model, x, target, torchs=torchs, ours=ours, **options)
    assert net.graph.by_name["y"].lead == (2 if y == "bt" else 1)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_initial_states_as_inputs(kind):
    """One array (batch, units) for each layer and direction, with its own gradient."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.core = kind(D, H, 2, bidirectional=True, batch_first=True)
            self.read = nn.Linear(2 * H, K)

        def forward(self, x, h0, c0=None):
            return self.read(self.core(x, h0 if kind is not nn.LSTM else (h0, c0))[0][:, -1])

    class WithMemory(Net):
        def forward(self, x, h0, c0):
            return super().forward(x, h0, c0)

    model = (WithMemory if kind is nn.LSTM else Net)().double()
    x, *states = (torch.randn(*s).double() for s in ((B, T, D), *[(4, B, H)] * (2 if kind is nn.LSTM else 1)))
    y = torch.randint(0, K, (B,))
    net, params = from_torch(model)
    endings = ("_l0", "_l0_reverse", "_l1", "_l1_reverse")
    names = [f"{letter}0{ending}" for letter in "hc"[: len(states)] for ending in endings]
    assert net.graph.data == ("x", *names, "y")
    g = gradients(net, params, x.numpy(), *(to_numpy(layer) for state in states for layer in state), y.numpy())
    leaves = [v.clone().requires_grad_() for v in (x, *states)]
    loss = nn.functional.cross_entropy(model(*leaves), y)
    loss.backward()
    assert_close(g.loss, loss, FRAMEWORK)
    assert_close(g["x"], leaves[0].grad, FRAMEWORK)
    for name, of_state in zip(names, (layer for leaf in leaves[1:] for layer in leaf.grad), strict=True):
        assert_close(g[name], of_state, FRAMEWORK, name)


def test_one_initial_state_keeps_its_name():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.core = nn.GRU(D, H, batch_first=True)

        def forward(self, x, start):
            return self.core(x, start)[0][:, -1]

    net, params = from_torch(Net().double(), "squared_error")
    assert net.graph.data == ("x", "start", "y")
    x, start, y = torch.randn(B, T, D).double(), torch.randn(B, H).double(), torch.randn(B, H).double()
    check(net, params, x.numpy(), start.numpy(), y.numpy()).raise_if_wrong()


def test_two_inputs_of_different_kinds():
    class Net(Parts):
        def forward(self, words, static, series):
            out, _ = self.lstm(self.table(words))
            return self.read(out[:, -1] + self.up(static) * self.deep(self.rnn(series)[0][-1]))

    torch.manual_seed(0)
    words, static, series = torch.randint(0, V, (B, T)), torch.randn(B, D).double(), torch.randn(B, T, D).double()
    net, _ = from_torch(Net().double())
    assert net.graph.data == ("words", "static", "series", "y")
    assert [net.graph.by_name[name].lead for name in net.graph.data] == [2, 1, 2, 1]
    stems = {"lstm": "_lstm", "rnn": "_rnn"}
    model, y = Net().double(), torch.randint(0, K, (B,))
    turns = iter(range(3))  # the third, the series, is time-first in torch
    torchs = lambda v: v.transpose(0, 1) if next(turns) == 2 else v  # noqa: E731
    assert_same(model, (words, static, series), y, torchs=torchs, stems=stems)


class Attention(nn.Module):
    """A module of the user's own inside of another one."""

    def __init__(self):
        super().__init__()
        self.score = nn.Sequential(nn.Linear(H, H), nn.Sigmoid())
        self.bias = nn.Parameter(torch.zeros(H))

    def forward(self, h):
        return h * self.score(h) + self.bias


class Stacked(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoders = nn.ModuleList([nn.LSTM(D, H, batch_first=True), nn.GRU(H, H, batch_first=True)])
        self.gates = nn.ModuleDict({"first": Attention(), "second": Attention()})
        self.body = nn.Sequential(nn.Dropout(0.5), nn.Linear(H, H), nn.Tanh(), nn.Identity(), nn.Linear(H, K))

    def forward(self, x):
        for encoder, gate in zip(self.encoders, self.gates.values(), strict=True):
            x = gate(encoder(x)[0])
        return self.body(x[:, -1])


def test_nested_modules_and_several_recurrent_ones():
    torch.manual_seed(0)
    model = Stacked().double().eval()
    stems = {"encoders.0": "_encoders_0", "encoders.1": "_encoders_1"}
    net, g = assert_same(model, torch.randn(B, T, D).double(), torch.randint(0, K, (B,)), stems=stems)
    assert {"h_encoders_0_l0", "c_encoders_0_l0", "n_encoders_1_l0", "h_encoders_1_l0_end"} <= set(net.graph.by_name)
    assert_close(g["gates.second.bias"], model.gates["second"].bias.grad, FRAMEWORK)
    assert_close(g["body.4.weight"], model.body[4].weight.grad, FRAMEWORK)
    assert net.graph.resolve("body.1") == "a3"


def test_names():
    net, g = assert_same(Last(nn.LSTM(D, H, batch_first=True)), torch.randn(B, T, D), LABELS, tol=SINGLE)
    assert isinstance(net, GraphNetwork)
    assert net.prediction == "a1"
    gates = [f"{letter}_{gate}_l0" for gate in "ifgo" for letter in ("U", "b", "W")]
    assert list(net.shapes) == [*gates, "W1", "b1"]
    for name in ("h", "c", "i", "a_f", "U_i", "W_o", "b_g", "h_end"):  # one layer, one direction: both names
        ending = "h_l0_end" if name == "h_end" else f"{name}_l0"
        assert net.graph.resolve(name) == ending
    assert net.graph.resolve("read.weight") == "W1"
    assert g["h"].shape == g.direct["h_l0"].shape == (B, T, H)
    net, _ = assert_same(Last(nn.LSTM(D, H, 2, batch_first=True)), torch.randn(B, T, D), LABELS, tol=SINGLE)
    assert "h" not in net.graph.aliases


LABELS = torch.tensor([0, 1, 1, 0, 1])


class Last(nn.Module):
    """A recurrent module, read at the last step."""

    def __init__(self, core):
        super().__init__()
        self.core = core
        wide = (getattr(core, "proj_size", 0) or core.hidden_size) * (2 if core.bidirectional else 1)
        self.read = nn.Linear(wide, K, dtype=next(core.parameters()).dtype)

    def forward(self, words):
        out = self.core(words)[0]
        return self.read(out[:, -1] if self.core.batch_first else out[-1])


def test_the_input_is_called_x_and_by_its_own_name():
    net, params = from_torch(Last(nn.GRU(D, H, batch_first=True)))
    assert net.graph.data == ("x", "y")
    g = gradients(net, params, words=torch.randn(B, T, D).numpy(), y=LABELS.numpy())
    assert g["words"] is g["x"]


def test_hidden_states_at_each_step():
    """The total gradient of h and c, by an LSTMCell in a loop, whose states keep their gradients."""
    torch.manual_seed(2)
    core = nn.LSTM(D, H, batch_first=True).double()
    model, loop = Last(core), nn.LSTMCell(D, H).double()
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        setattr(loop, name, nn.Parameter(getattr(core, f"{name}_l0").detach().clone()))
    x = torch.randn(B, T, D).double()
    _, g = assert_same(model, x, LABELS)
    state, states = None, []
    for t in range(T):
        state = loop(x[:, t], state)
        for s in state:
            s.retain_grad()
        states.append(state)
    nn.functional.cross_entropy(model.read(state[0]), LABELS).backward()
    for letter, k in (("h", 0), ("c", 1)):
        for t in range(T):
            assert_close(g[f"{letter}_l0"][:, t], states[t][k].grad, FRAMEWORK, f"{letter} at step {t}")


class AsForward(nn.Module):
    def __init__(self, bias=True):
        super().__init__()
        self.first, self.second = nn.Linear(D, H, bias=bias), nn.Linear(H, K, bias=bias)
        self.drop = nn.Dropout(0.3)

    def forward(self, x):
        h = F.dropout(F.gelu(self.first(self.drop(x))), 0.2, self.training)
        return self.second(h)


@pytest.mark.parametrize("bias", [True, False])
def test_a_plain_perceptron_is_the_same_as_a_sequential(bias):
    model = AsForward(bias).double().eval()
    net, params = from_torch(model)
    same, same_params = from_torch(nn.Sequential(model.first, nn.GELU(), model.second))
    assert isinstance(net, FeedForward)
    assert net == same
    assert list(params) == list(same_params)
    for name, p in params.items():
        assert_close(p, same_params[name], 0.0, name)


def test_a_forward_that_flattens_images_is_the_same_as_a_sequential():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(12, K)

        def forward(self, x):
            batch = x.shape[0]
            return torch.tanh(self.layer(x.view(batch, -1)))

    net, _ = from_torch(Net())
    same, _ = from_torch(nn.Sequential(nn.Flatten(), nn.Linear(12, K), nn.Tanh()))
    assert str(net.graph) == str(same.graph)
    assert net.shapes == same.shapes
    assert net.prediction == same.prediction == "h1"


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_a_recurrent_module_alone(kind):
    """Its output at each step is compared with the target."""
    torch.manual_seed(0)
    model = kind(D, H, batch_first=True).double()
    net, g = assert_same(model, torch.randn(B, T, D).double(), torch.randn(B, T, H).double(), nn.MSELoss())
    assert net.prediction == "h_l0"
    assert "weight_ih_l0" not in net.graph.aliases
    assert g["h"].shape == (B, T, H)


def test_a_table_alone_and_in_a_sequential():
    torch.manual_seed(0)
    net, g = assert_same(nn.Embedding(V, K).double(), torch.randint(0, V, (B,)), LABELS)
    assert net.graph.resolve("weight") == "E1"
    model = nn.Sequential(nn.Embedding(V, D), nn.Linear(D, H), nn.Tanh(), nn.Linear(H, K)).double()
    words, y = torch.randint(0, V, (B, T)), torch.randint(0, K, (B, T))
    net, g = assert_same(model, words, y, axes="bt")
    assert [net.graph.resolve(f"{i}.weight") for i in (0, 1, 3)] == ["E1", "W1", "W2"]
    assert g["h1"].shape == (B, T, H)


class Step(nn.Module):
    def forward(self, result):
        return result[0][:, -1]


def test_a_sequential_with_a_module_of_ones_own():
    torch.manual_seed(0)
    model = nn.Sequential(nn.GRU(D, H, batch_first=True), Step(), nn.Linear(H, K)).double()
    assert_same(model, torch.randn(B, T, D).double(), LABELS)


class Named(nn.LSTM):
    """A class of one's own with torch's forward."""


def test_a_subclass_that_inherits_its_forward():
    assert_same(Last(Named(D, H, batch_first=True)).double(), torch.randn(B, T, D).double(), LABELS)


class Doubled(nn.Linear):
    def forward(self, x):
        return 2.0 * super().forward(x)


class Shortcut(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


def test_subclasses_with_a_forward_of_their_own_are_traced():
    torch.manual_seed(0)
    model = nn.Sequential(Doubled(D, H), Shortcut(nn.Linear(H, H), nn.Tanh(), Doubled(H, H)), nn.Linear(H, K)).double()
    net, _ = assert_same(model, torch.randn(B, D).double(), LABELS)
    assert net.graph.resolve("1.2.weight") == "W3"


def test_the_row_of_padding_has_its_true_gradient():
    """torch keeps it at zero by convention; the other rows, and all values, are the same."""
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(V, H, padding_idx=2)
            self.free = nn.Embedding(V, H)
            self.read = nn.Linear(H, K)

        def forward(self, x):
            return self.read(torch.tanh(self.table(x)).mean(1))

    model = Net().double()
    with torch.no_grad():
        model.table.weight[2] = 0.3
        model.free.weight.copy_(model.table.weight)
    x = torch.tensor([[2, 0, 2], [1, 2, 5], [2, 2, 2]])
    _, g = assert_same(model, x, LABELS[:3], skip=("E1",))
    torchs, E = gradient(model.table.weight), g["table.weight"]
    rows = [0, 1, 3, 4, 5]
    assert_close(E[rows], torchs[rows], FRAMEWORK)
    assert not torchs[2].any()
    model.table = model.free
    model.zero_grad()
    nn.functional.cross_entropy(model(x), LABELS[:3]).backward()
    assert_close(E, model.free.weight.grad, FRAMEWORK)


@pytest.mark.parametrize("arrays", ["numpy", "torch"])
def test_copies_in_both_libraries(arrays):
    model = Last(nn.GRU(D, H, 2, batch_first=True)).double()
    net, params = from_torch(model, arrays=arrays)
    x, y = torch.randn(B, T, D).double(), LABELS
    give = (lambda v: v) if arrays == "torch" else to_numpy
    g = gradients(net, params, give(x), give(y))
    nn.functional.cross_entropy(model(x), y).backward()
    assert_close(g["U_r_l0"], model.core.weight_ih_l0.grad[:H], FRAMEWORK)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in params.values():
        assert type(p).__module__.partition(".")[0] == arrays
        p[...] = 0.0
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_float32():
    torch.manual_seed(0)
    same_label = torch.zeros(B, dtype=torch.int64)  # or the terms of the samples nearly cancel in ∇b
    _, g = assert_same(Last(nn.LSTM(D, H, batch_first=True)), torch.randn(B, T, D), same_label, tol=SINGLE)
    assert {str(a.dtype) for a in g.arrays.values()} == {"float32"}


def test_tracing_leaves_nothing_behind():
    class Net(Parts):
        def forward(self, x):
            return self.read(self.lstm(x)[0][:, -1]) + torch.ones(K)[0] * self.scale

    model = Net()
    modules = {name: dict(vars(m)) for name, m in model.named_modules()}
    from_torch(model)
    for name, m in model.named_modules():
        assert vars(m).keys() == modules[name].keys()
        assert all(vars(m)[key] is value for key, value in modules[name].items())
