"""What has no counterpart in a forward is refused by name, with the path of the module and the user's line."""

import re
from inspect import getsourcefile, getsourcelines

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.rnn import pack_padded_sequence

from everygrad.adapters import from_torch
from everygrad.backprop import gradients
from everygrad.errors import InputError, UnsupportedError

D, H, K, V = 3, 4, 2, 6


class Parts(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(D, H, batch_first=True)
        self.late = nn.RNN(D, H)
        self.two = nn.GRU(D, H, 2, dropout=0.5, batch_first=True)
        self.table = nn.Embedding(V, D)
        self.read, self.up = nn.Linear(H, K), nn.Linear(D, H)
        self.norm = nn.LayerNorm(H)
        self.memory = None
        self.matrix = nn.Parameter(torch.ones(H, H, H))
        self.register_buffer("mask", torch.tensor([1.0, 0.0, 1.0, 1.0]))


class Negated(torch.autograd.Function):
    @staticmethod
    def forward(_, x):
        return x * 1  # here

    @staticmethod
    def backward(_, g):
        return -g


REFUSED = {}


def refused(text, where=None):
    """A forward that is refused with this text and the line that ends with ``# here``, its own or another's."""

    def keep(forward):
        REFUSED[forward.__name__] = (forward, text, where or forward)
        return forward

    return keep


@refused(".max(): over time, the last step or the mean is read")
def a_maximum_over_time(self, x):
    out, _ = self.lstm(x)
    return self.read(out.max(1).values)  # here


@refused("torch.softmax: the losses take logits: leave it out (inside of a network it has no counterpart)")
def attention(self, x):
    out, _ = self.lstm(x)
    weights = torch.softmax(out, dim=1)  # here
    return self.read((weights * out).mean(1))


@refused("norm: LayerNorm((4,), eps=1e-05, elementwise_affine=True, bias=True): no counterpart here")
def another_module(self, x):
    return self.read(self.norm(self.lstm(x)[0][:, -1]))  # here


@refused("layer_norm: no counterpart here")
def a_function(self, x):
    return self.read(F.layer_norm(self.lstm(x)[0][:, -1], (H,)))  # here


@refused(".cumsum(): no counterpart here")
def a_method(self, x):
    return self.read(self.lstm(x)[0].cumsum(1)[:, -1])  # here


@refused("getitem: [-1] of the axis batch of (batch, time, 4 features): samples stay together; out[:, -1] is the last")
def the_last_sample_for_the_last_step(self, x):
    return self.read(self.lstm(x)[0][-1])  # here


@refused("getitem: steps 2:5 of the time axis: one fixed step, as in out[:, -1], is read")
def several_steps(self, x):
    return self.read(self.lstm(x)[0][:, 2:5].mean(1))  # here


@refused("samples, steps and features stay apart, and the number of steps is not fixed")
def all_steps_in_a_row(self, x):
    return self.read(self.lstm(x)[0].flatten(1))  # here


@refused("(batch, time, 4 features) cannot be read with the shape (5, -1): samples")
def a_fixed_batch(self, x):
    return self.read(self.lstm(x)[0].view(5, -1))  # here


@refused("read: Linear(in_features=4, out_features=2, bias=True): it needs 4 features and gets 8")
def a_wrong_width(self, x):
    out, (h, _) = self.lstm(x)
    return self.read(torch.cat([out[:, -1], h[0]], 1))  # here


@refused("late: RNN(3, 4): with batch_first=False it takes a tensor (time, batch, 3 features) and gets")
def both_orders(self, x):
    out, _ = self.lstm(x)
    return self.read(out[:, -1] + self.late(x)[1][0])  # here


@refused("dropout: random in training mode: give it training=self.training and call model.eval() first")
def dropout_for_ever(self, x):
    return self.read(F.dropout(self.lstm(x)[0][:, -1], 0.3))  # here


@refused("two: GRU(3, 4, num_layers=2, batch_first=True, dropout=0.5): its dropout is random in training mode")
def dropout_between_layers(self, x):
    return self.read(self.two(x)[0][:, -1])  # here


@refused("torch.fx cannot trace it, TraceError: symbolically traced variables cannot be used as inputs to control flow")
def a_condition(self, x):
    out = self.lstm(x)[0][:, -1]
    if (out > 0).any():  # here
        out = -out
    return self.read(out)


@refused("no loop over its steps (nn.RNN, nn.LSTM and nn.GRU make it)")
def a_loop_over_time(self, x):
    h = torch.tanh(self.up(x[:, 0]))
    for t in range(x.size(1)):  # here
        h = torch.tanh(self.up(x[:, t]) + h)
    return self.read(h)


@refused("forward: packed sequences are not read: leave the packing out")
def packed(self, x):
    packed = pack_padded_sequence(x, x.sum((1, 2)), batch_first=True)  # here
    return self.read(self.lstm(packed)[1][0][-1])


@refused("relu: it changes in place what is used elsewhere too: write it without inplace=True, += or relu_()")
def in_place_and_used_before(self, x):
    a = self.up(x)
    return self.read(F.relu(a, inplace=True) + a)  # here


@refused("iadd: it changes in place what is used elsewhere too")
def added_in_place(self, x):
    before = a = self.up(x)
    a += 1  # here
    return self.read(a * before)


@refused("imul: it changes in place what is used elsewhere too")
def a_view_changed_in_place(self, x):
    a = self.up(x)
    part = a[:, :2]
    part *= 2  # here
    return self.read(a) + part


@refused(".relu_(): it changes in place what is used elsewhere too")
def a_statement_in_place(self, x):
    a = self.up(x)
    a.relu_()  # here
    return self.read(a)


@refused("sub_(): it changes in place what is used elsewhere too")
def the_input_changed_in_place(self, x):
    y = torch.tanh(self.up(x))
    x.sub_(1.0)  # here
    return self.read(y * self.up(x))


@refused(".detach(): it stops the gradient: leave it out")
def detached(self, x):
    return self.read(self.lstm(x)[0][:, -1].detach())  # here


@refused("under torch.no_grad(), which stops the gradient")
def without_gradient(self, x):
    with torch.no_grad():
        h = torch.tanh(x)  # here
    return self.read(self.up(h))


@refused("under torch.autocast, which changes the dtype")
def autocast(self, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h = torch.tanh(x)  # here
    return self.read(self.up(h))


@refused("in a torch.autograd.Function, whose backward may be another one", Negated.forward)
def a_function_with_its_own_backward(self, x):
    return self.read(self.up(Negated.apply(x)))


@refused(".half(): no counterpart here")
def halved(self, x):
    return self.read(self.up(x.half()))  # here


@refused(".float(): it converts to torch.float32, the parameters have torch.float64: use one dtype for all")
def narrowed(self, x):
    return self.read(self.up(x).float())  # here


@refused("mul: a tensor of 4 constants: only numbers, and parameters (nn.Parameter)")
def a_mask_of_constants(self, x):
    return self.read(self.up(x) * self.mask)  # here


@refused("mul: a parameter of shape (4, 4, 4): one vector (features,) or number is expected here")
def a_parameter_with_axes(self, x):
    return self.read((self.up(x) * self.matrix)[0])  # here


@refused("add: it joins tensors (batch, 2 features) and (time, batch, 4 features): give both the same axes")
def last_step_and_all_steps(self, x):
    h = self.lstm(x)[0]
    return self.read((h[:, -1, :2] + h.transpose(0, 1)).mean(0))  # here


@refused("mul: it joins tensors (batch, 4 features, 1) and (batch, 1, 4 features): give both the same axes")
def each_feature_with_each(self, x):
    h = self.lstm(x)[0][:, -1]
    return self.read((h.unsqueeze(2) * h.unsqueeze(1))[..., 0])  # here


@refused("mul: it joins tensors (batch, 1, 4 features) and (batch, 4 features): give both the same axes")
def each_sample_with_each(self, x):
    h = self.lstm(x)[0][:, -1]
    return self.read((h[:, None] * h)[:, 0])  # here


@refused("add joins a quantity of each sample with one of each sample and step")
def one_state_for_all_steps(self, x):
    out, (h, _) = self.lstm(x)
    return self.read(out.transpose(0, 1) + h)  # here


@refused(".expand(): a quantity of each sample cannot be repeated over steps")
def repeated(self, x):
    h = self.lstm(x)[1][0][-1].unsqueeze(1)
    return self.read(h.expand(-1, x.size(1), -1))  # here


@refused("torch.cat: it joins tensors along the axis time: only features (and layers) can be joined")
def sequences_one_after_the_other(self, x):
    out, _ = self.lstm(x)
    return self.read(torch.cat([out, out], 1))  # here


@refused(".sum(): a sum over the axis time of (batch, time, 4 features): only over layers or directions")
def a_sum_over_time(self, x):
    return self.read(self.lstm(x)[0].sum(1))  # here


@refused("h_0 is zeros of another shape than (1, batch, 4 features)")
def zeros_over_time(self, x):
    h = torch.zeros(1, x.size(1), H)
    return self.read(self.lstm(x, (h, h))[0][:, -1])  # here


@refused("h_0 is a tensor that the module holds: only zeros, and states that depend on the data")
def a_learned_initial_state(self, x):
    return self.read(self.late(x, self.matrix)[0][-1])  # here


@refused("its initial states are 2: give (h_0, c_0), each by itself an argument of forward")
def half_of_the_state(self, x):
    return self.read(self.lstm(x, self.lstm(x)[1][0])[0][:, -1])  # here


@refused("torch.pow: an exponent is a number")
def a_power(self, x):
    h = self.up(x)
    return self.read(torch.pow(h, h))  # here


@refused(".chunk(): it is not read with these arguments")
def too_many_arguments(self, x):
    return self.read(self.up(x).chunk(2, 1, 0)[0])  # here


@refused("add: a weight of a recurrent layer is used outside of it: here it is several parameters")
def a_gate_used_twice(self, x):
    return self.read(self.lstm(x)[0][:, -1] + self.lstm.bias_ih_l0)  # here


@refused("table: Embedding(6, 3): it takes the tokens as they come")
def tokens_that_are_not(self, x):
    return self.read(self.up(self.table(x * 2)))  # here


def at(forward):
    """file:line of the line that ends with ``# here``."""
    lines, first = getsourcelines(forward)
    return f"{getsourcefile(forward)}:{next(first + i for i, line in enumerate(lines) if '# here' in line)}"


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    forward, text, where = REFUSED[name]
    model = type(name, (Parts,), {"forward": forward})().double()
    with pytest.raises(UnsupportedError) as caught:
        from_torch(model)
    problems = str(caught.value).split("\n  - ")[1:]
    fitting = [problem for problem in problems if text in problem]
    assert fitting, f"{text!r} is not among {problems}"
    assert fitting[0].endswith(f" ({at(where)})")


def net_of(forward):
    return type("Net", (Parts,), {"forward": forward})().double()


@pytest.mark.parametrize(
    ("forward", "text"),
    [
        (lambda self, x: torch.stack([self.up(x)[:, 0], x[:, 0]]), "output: the axes of the output are (2, batch)"),
        (lambda self, x: self.lstm(x)[0].transpose(1, 2)[:, :, 0].t(), "a matrix of parameters is transposed so"),
        (lambda self, x: self.lstm(x)[0][:, 0].transpose(0, 1), "the axes of the output are (4 features, batch)"),
        (lambda self, x: self.lstm(x)[1][0], "output: the axes of the output are (1, batch, 4 features)"),
        (lambda self, x: {"logits": self.read(x)}, "output: a tensor that depends on the data is expected, or a tuple"),
        (lambda self, x: self.up.weight, "got a tensor that the module holds"),
        (lambda self, x: x.shape[0], "got a size"),
    ],
)
def test_outputs(forward, text):
    with pytest.raises(UnsupportedError, match=re.escape(text)):
        from_torch(net_of(forward))


def test_all_of_them_are_listed_at_once():
    """Also behind the first ones, as far as torch.fx comes, and each with its own place."""

    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(H, H, 3)
            self.drop = nn.Dropout(0.5)

        def forward(self, h):
            return F.hardtanh(self.drop(self.conv(h)))

    class Net(Parts):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def forward(self, x):
            h = self.inner(self.lstm(x)[0]).cumsum(1)
            self.memory = h
            return self.read(h.max(1).values + float(h.sum()))

    with pytest.raises(UnsupportedError) as caught:
        from_torch(Net())
    head, *problems = str(caught.value).split("\n  - ")
    assert head.endswith("Embedding; read with axes='bti': 7 problems")
    assert [problem.split(": ")[:2] for problem in problems] == [
        ["the model", "forward"],
        ["the model", "Net"],
        ["inner.conv", "Conv1d(4, 4, kernel_size=(3,), stride=(1,))"],
        ["inner.drop", "Dropout(p=0.5, inplace=False)"],
        ["inner", "hardtanh"],
        ["the model", ".cumsum()"],
        ["the model", ".max()"],
    ]
    assert "self.memory" in problems[1]


def test_what_is_not_used_is_not_refused():
    class Net(Parts):
        def forward(self, x):
            out, _ = self.lstm(x)
            out.max(1)
            return self.read(out[:, -1])

    from_torch(Net())


def test_the_memory_of_a_module_is_left_as_it_was():
    class Net(Parts):
        def forward(self, x):
            self.memory = torch.tanh(x)
            self.lstm.last = x
            return self.read(self.up(x))

    model = Net()
    with pytest.raises(UnsupportedError, match=r"the model: Net: forward sets self\.memory") as caught:
        from_torch(model)
    assert "lstm: LSTM: forward sets self.last" in str(caught.value)
    assert model.memory is None
    assert not hasattr(model.lstm, "last")


def test_hooks_and_parametrised_modules():
    model = net_of(lambda self, x: self.read(torch.tanh(self.inner(x))))
    model.inner = nn.Sequential(nn.Linear(D, H, dtype=torch.float64))
    model.register_forward_hook(lambda *_: None)
    model.inner.register_full_backward_hook(lambda *_: None)
    weight_norm(model.read)
    with pytest.raises(UnsupportedError) as caught:
        from_torch(model)
    problems = str(caught.value).split("\n  - ")[1:]
    assert [problem.split(":")[0] for problem in problems] == ["the model", "inner", "read"]
    assert "it has hooks" in problems[0]
    assert "it has hooks" in problems[1]
    assert "a subclass of Linear, which may compute something else" in problems[2]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: nn.GRU(D, H, 2, dropout=0.5),
            "the model: GRU(3, 4, num_layers=2, dropout=0.5): its dropout is random",
        ),
        (lambda: nn.LSTM(D, H).half(), "weight_ih_l0: dtype torch.float16, expected float32 or float64: model.float()"),
        (lambda: nn.Embedding(V, D, max_norm=1.0), "max_norm= changes the table whenever it is used: leave it out"),
        (lambda: nn.Embedding(V, D, scale_grad_by_freq=True), "scale_grad_by_freq= changes the gradient: leave it out"),
        (
            lambda: nn.Sequential(nn.LSTM(D, H), nn.Linear(H, K)),
            "it takes a tensor that depends on the data, got a tuple",
        ),
        (lambda: torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), "compiled: give the module that it was made from"),
    ],
)
@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_modules_of_torch(make, text):
    with pytest.raises(UnsupportedError, match=re.escape(text)):
        from_torch(make())


def test_different_dtypes():
    model = net_of(lambda self, x: self.read(self.lstm(x)[0][:, -1]))
    model.read.float()
    with pytest.raises(
        UnsupportedError, match=r"different dtypes, torch\.float32 and torch\.float64: model\.double\(\) or"
    ):
        from_torch(model)


def test_forward_with_any_number_of_arguments():
    with pytest.raises(UnsupportedError, match=r"forward: forward\(\*xs\): its arguments must be named one by one"):
        from_torch(net_of(lambda self, *xs: self.read(xs[0])))


@pytest.mark.parametrize("axes", ["tbi", "bt", "b"])
def test_axes_that_do_not_fit(axes):
    """What is asked for is what is tried."""
    with pytest.raises(UnsupportedError, match=f"read with axes='{axes}'"):
        from_torch(net_of(lambda self, x: self.read(self.lstm(x)[0][:, -1])), axes=axes)


@pytest.mark.parametrize("axes", ["", "tt", "ti", "bbi", "btx", 3, None.__class__])
def test_axes_that_are_none(axes):
    with pytest.raises(InputError, match=r"axes=.*: expected one of b\*, bi, b, bti, tbi, bt, tb, bit, b1ti"):
        from_torch(net_of(lambda self, x: self.read(self.up(x))), axes=[axes])


def test_axes_for_each_input():
    model = net_of(lambda self, x, z: self.read(self.up(x) * torch.tanh(self.up(z))))
    with pytest.raises(InputError, match=r"axes='bi': the model has 2 inputs, x, z: give one for each"):
        from_torch(model, axes="bi")
    net, _ = from_torch(model, axes=("bti", "bti"))
    assert [net.graph.by_name[name].lead for name in ("x", "z", "y")] == [2, 2, 2]
    net, _ = from_torch(model)
    assert [net.graph.by_name[name].lead for name in ("x", "z", "y")] == [1, 1, 1]


def test_many_inputs():
    """All combinations of the more usual axes are tried."""
    mixed = net_of(
        lambda self, s, u, v, w: self.read(self.lstm(s)[0].mean(1) + self.up(u) * self.up(self.table(v)) * w)
    )
    net, params = from_torch(mixed)
    assert [net.graph.by_name[name].lead for name in ("s", "u", "v", "w", "y")] == [2, 1, 1, 1, 1]
    x = torch.randn(5, 7, D).double().numpy()
    more = [torch.randn(5, n).double().numpy() for n in (D, H)]
    words, y = torch.zeros(5, dtype=torch.int64).numpy(), torch.ones(5, dtype=torch.int64).numpy()
    assert gradients(net, params, x, more[0], words, more[1], y).loss > 0


def test_many_inputs_that_are_alike():
    model = net_of(lambda self, u, v, w, x: self.read(self.up(u + v) * self.up(w - x)))
    net, params = from_torch(model)
    assert net.graph.data == ("u", "v", "w", "x", "y")
    data = [torch.randn(5, D).double().numpy() for _ in range(4)]
    assert gradients(net, params, *data, torch.zeros(5, dtype=torch.int64).numpy()).loss > 0
