"""The inside of recurrent layers as `eg.watch` gives it, against plain loops of cells and `retain_grad`."""

import copy

import pytest
import torch
from hypothesis import given, settings
from torch import nn
from torch.nn.functional import dropout

import everygrad as eg
from everygrad.checks.tolerance import FRAMEWORK, SINGLE, assert_close
from tests.adapters.rnn_loop import Loop
from tests.adapters.watch_cases import Case, Model, cases, compare, in_layout, looped, loss_of, made, watched


@pytest.mark.slow
@settings(max_examples=120)
@given(cases())
def test_every_gradient_equals_that_of_a_loop_of_cells(case):
    module, sequences, initial = made(case)
    layer = watched(case, module, sequences, initial)
    compare(case, layer, looped(case, module, sequences, initial), module)


@settings(max_examples=25)
@given(cases())
def test_also_when_it_is_watched_again(case):
    """From the second call of these shapes on the inside is straight-line code."""
    module, sequences, initial = made(case)
    for _ in range(3):
        module.zero_grad()
        layer = watched(case, module, sequences, initial)
    compare(case, layer, looped(case, module, sequences, initial), module)


@pytest.mark.parametrize(
    "case",
    [
        Case("LSTM", layers=2, bidirectional=True, batch_first=True, initial=True, reads=("last", "h_n", "c_n")),
        Case("LSTM", projection=2, layers=2, bidirectional=True, layout="packed", lengths=(2, 5, 3), initial=True),
        Case("LSTM", bias=False, layout="unbatched", lengths=(4,), initial=True, reads=("c_n",)),
        Case("GRU", layers=3, bidirectional=True, layout="packed", lengths=(1, 4, 4), reads=("h_n",)),
        Case("GRU", layout="packed sorted", lengths=(5, 2), batch_first=True, initial=True, reads=("twice",)),
        Case("GRU", bias=False, layers=2, layout="unbatched", lengths=(6,), batch_first=True),
        Case("RNN", nonlinearity="relu", layers=2, bidirectional=True, bias=False, reads=("last",)),
        Case("RNN", layers=2, layout="packed", lengths=(3, 1, 6), batch_first=True, reads=("all", "h_n")),
        Case("RNN", lengths=(1,), units=1),
    ],
    ids=str,
)
def test_each_kind_of_call(case):
    module, sequences, initial = made(case)
    layer = watched(case, module, sequences, initial)
    compare(case, layer, looped(case, module, sequences, initial), module)


@pytest.mark.parametrize("family", ["RNN", "LSTM", "GRU"])
def test_the_states_equal_those_of_torchs_own_cells(family):
    """The loop of the other tests is written from the equations; this one is made of torch's modules."""
    case = Case(family, lengths=(6, 6), reads=("last",), seed=3)
    module, sequences, _ = made(case)
    layer = watched(case, module, sequences, {})
    cell = getattr(nn, f"{family}Cell")(3, 4, dtype=torch.float64)
    cell.load_state_dict({name: getattr(module, f"{name}_l0") for name, _ in cell.named_parameters()})
    xs = torch.stack(sequences, 1)
    state, steps, outputs = None, [], []
    for x in xs:
        state = cell(x, state)
        steps.append(state if family == "LSTM" else (state,))
        for s in steps[-1]:
            s.retain_grad()
        outputs.append(steps[-1][0])
    loss_of(case, torch.stack(outputs), {}).backward()
    for i, name in enumerate(case.states):
        assert_close(layer[f"{name}_l0"], torch.stack([s[i].grad for s in steps]), FRAMEWORK, name)
    for name, p in cell.named_parameters():
        assert_close(layer.weights[f"{name}_l0"], p.grad, FRAMEWORK, name)


@pytest.mark.parametrize("family", ["RNN", "LSTM", "GRU"])
def test_float32_stays_float32_and_near_float64(family):
    case = Case(family, layers=2, bidirectional=True, lengths=(8, 8, 8), batch_first=True)
    wide, sequences, _ = made(case)
    narrow = made(case, torch.float32)[0]
    narrow.load_state_dict(wide.state_dict())
    layer = watched(case, narrow, [s.float() for s in sequences], {})
    loop = looped(case, wide, sequences, {})
    for name, g in loop.gradients().items():
        assert layer[name].dtype == torch.float32
        assert_close(layer[name], in_layout(case, name, g), SINGLE, name)
    for name, p in narrow.named_parameters():
        assert_close(layer.weights[name], p.grad, SINGLE, name)


@pytest.mark.parametrize("layout", ["batched", "unbatched", "packed"])
@pytest.mark.parametrize("family", ["RNN", "LSTM", "GRU"])
def test_dropout_between_layers_is_found_again(family, layout):
    lengths = {"batched": (5, 5), "unbatched": (5,), "packed": (2, 5, 3)}[layout]
    case = Case(family, layers=3, bidirectional=True, batch_first=True, layout=layout, lengths=lengths, dropout=0.4)
    module, sequences, initial = made(case)
    torch.manual_seed(11)
    layer = watched(case, module, sequences, initial)
    torch.rand(1)
    after = torch.get_rng_state()
    x = layer["x"]
    assert torch.equal(torch.get_rng_state(), after)  # drawing them again takes nothing from the training
    rows, batch, features = sum(lengths), len(lengths), 8
    torch.manual_seed(
        11
    )  # the masks in the order and shape in which torch draws them: that the output is the same shows
    drawn = []
    for _ in range(2):
        if layout == "packed":
            flat = dropout(torch.ones(rows, features, dtype=torch.float64), 0.4)
            sizes = torch.tensor([3, 3, 2, 1, 1])
            packed = nn.utils.rnn.PackedSequence(flat, sizes, torch.tensor([1, 2, 0]), torch.tensor([2, 0, 1]))
            padded, _ = nn.utils.rnn.pad_packed_sequence(packed)
        else:
            padded = dropout(torch.ones(5, batch, features, dtype=torch.float64), 0.4)
        drawn.append([padded[:n, b] for b, n in enumerate(lengths)])
    loop = looped(case, module, sequences, initial, drawn)
    assert_close(layer.values["h_l2"], in_layout(case, "h_l2", loop.values()["h_l2"]), FRAMEWORK)
    assert any((mask == 0).any() for mask in drawn[0])
    compare(case, layer, loop, module)
    assert x is layer["x"]


def test_a_single_layer_may_be_left_out_of_the_name():
    case = Case("LSTM")
    layer = watched(case, *made(case))
    assert layer["h"] is layer["h_l0"]
    assert layer.direct["i"] is layer.direct["i_l0"]
    assert layer.values["c"] is layer.values["c_l0"]
    assert layer.weights["weight_ih"] is layer.weights["weight_ih_l0"]
    assert "h" in layer
    assert "k" not in layer
    case = Case("LSTM", bidirectional=True)
    with pytest.raises(eg.errors.UnknownNameError, match="h_l0"):
        watched(case, *made(case))["h"]


@pytest.mark.parametrize("change", ["multiply", "zero a step", "relu", "through a view"])
@pytest.mark.parametrize("layout", ["batched", "unbatched"])
@pytest.mark.parametrize("family", ["LSTM", "GRU"])
def test_an_output_that_is_written_over_later(family, layout, change):
    """The gradient is that of what the layer gave: its output is a view of another tensor, which leaves the graph."""
    case = Case(family, layout=layout, lengths=(5,) if layout == "unbatched" else (5, 5), batch_first=True)
    module, sequences, _ = made(case)

    def loss(output, clone):
        y = output.clone() if clone else output
        if change == "multiply":
            y.mul_(3)
        elif change == "zero a step":
            y[-1] = 0
        elif change == "relu":
            nn.functional.relu_(y)
        else:
            y.transpose(0, 1)[1].mul_(2)
        return (y**2).sum()

    x = sequences[0] if layout == "unbatched" else torch.stack(sequences)
    with eg.watch(module) as seen:
        loss(module(x)[0], False).backward()
    layer = seen[family]
    written_over = {name: layer[name].clone() for name in layer}
    with eg.watch(module) as seen:
        loss(module(x)[0], True).backward()
    for name, g in written_over.items():
        assert_close(g, seen[family][name], 1e-15, name)
    assert float(written_over["h_l0"].norm()) > 0


def test_what_changes_after_the_backward_pass_does_not_matter():
    case = Case("GRU", layers=2, initial=True)
    module, sequences, initial = made(case)
    loop = looped(case, module, sequences, initial)
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    x = torch.stack(sequences, 1)
    h_0 = initial["h"]
    with eg.watch(module) as seen:
        output, last = module(x, h_0)
        optimizer.zero_grad()
        loss_of(case, output, {"h": last}).backward()
        accumulated = {name: p.grad.clone() for name, p in module.named_parameters()}
        optimizer.step()
        x.zero_()
        h_0.zero_()
        for p in module.parameters():
            p.grad.mul_(0)
    for name, g in loop.gradients().items():
        assert_close(seen["GRU"][name], g, FRAMEWORK, name)
    for name, g in accumulated.items():
        assert_close(seen["GRU"].weights[name], g, FRAMEWORK, name)


def test_backward_calls_add_up_as_grad_does():
    case = Case("LSTM", layers=2, bidirectional=True)
    module, sequences, _ = made(case)
    model = Model(case, module)
    with eg.watch(model) as seen:
        output, last = model(sequences, {})
        output[-1].sum().backward(retain_graph=True)
        (output[1:3].sin().sum() + (last["c"] ** 2).sum()).backward()
    loop = Loop(module, sequences)
    (loop.output[-1].sum() + loop.output[1:3].sin().sum() + (loop.last["c"] ** 2).sum()).backward()
    compare(case, seen["rnn"], loop, module)


def test_reading_inside_of_the_block():
    """What is read is what has arrived so far."""
    case = Case("RNN", layers=2)
    module, sequences, _ = made(case)
    x = torch.stack(sequences, 1)
    with eg.watch(module) as seen:
        output, _ = module(x)
        assert torch.equal(seen["RNN"].values["x"], x)
        output.sum().backward(retain_graph=True)
        first = seen["RNN"]["h_l0"]
        output.sum().backward()
        assert_close(seen["RNN"]["h_l0"], 2 * first, FRAMEWORK)
    assert float(first.norm()) > 0


def test_autograd_grad_counts_as_a_backward_pass():
    case = Case("GRU", layers=2, initial=True)
    module, sequences, initial = made(case)
    model = Model(case, module)
    initial = {name: state.requires_grad_() for name, state in initial.items()}
    with eg.watch(model) as seen:
        loss = loss_of(case, *model(sequences, initial))
        wanted = [*initial.values(), *module.parameters()]
        found = torch.autograd.grad(loss, wanted)
    assert_close(seen["rnn"]["h_0"], found[0], FRAMEWORK)
    for (name, p), g in zip(module.named_parameters(), found[1:], strict=True):
        assert p.grad is None
        assert_close(seen["rnn"].weights[name], g, FRAMEWORK, name)
    assert {row.name for row in seen.agreement()} == {f"rnn.{name}" for name, _ in module.named_parameters()}
    assert max(row.error for row in seen.agreement()) < FRAMEWORK


class Siamese(nn.Module):
    """One layer called twice, on sequences of different length."""

    def __init__(self, module):
        super().__init__()
        self.encoder = module
        self.same = module

    def forward(self, a, b):
        return self.encoder(a)[0][-1] * self.same(b)[0][-1]


def test_several_calls_are_read_one_by_one_and_weights_are_summed():
    case = Case("LSTM", lengths=(5, 5))
    module, sequences, _ = made(case)
    a, b = torch.stack(sequences, 1), torch.stack(sequences, 1)[:3] * 2
    model = Siamese(module)
    with eg.watch(model) as seen:
        model(a, b).sum().backward()
    layer = seen["encoder"]
    assert seen["same"] is layer
    assert list(seen) == ["encoder"]
    loops = [Loop(module, list(x.unbind(1))) for x in (a, b)]
    (loops[0].output[-1] * loops[1].output[-1]).sum().backward()
    assert len(layer.calls) == 2
    for call, loop in zip(layer.calls, loops, strict=True):
        for name, g in loop.gradients().items():
            assert_close(call[name], g, FRAMEWORK, name)
        for name, w in loop.weights.items():
            assert_close(call.weights[name], w.grad, FRAMEWORK, name)
    for name, p in module.named_parameters():
        assert_close(layer.weights[name], p.grad, FRAMEWORK, name)
    with pytest.raises(eg.errors.InputError, match=r"called 2 times.*seen\['encoder'\].calls\[0\]"):
        layer["h_l0"]


def test_the_plain_name_is_the_one_call_that_a_gradient_reached():
    case = Case("RNN")
    module, sequences, _ = made(case)
    x = torch.stack(sequences, 1)
    with eg.watch(module) as seen:
        with torch.no_grad():
            module(2 * x)
        module(x)[0].sum().backward()
        module(3 * x)
    assert len(seen["RNN"].calls) == 3
    assert torch.equal(seen["RNN"].values["x"], x)
    for name, p in module.named_parameters():
        assert_close(seen["RNN"].weights[name], p.grad, FRAMEWORK, name)
    assert torch.equal(seen["RNN"].calls[2].values["x"], 3 * x)
    with pytest.raises(eg.errors.InputError, match="no gradient arrived at call 3 of 3 of 'RNN'"):
        seen["RNN"].calls[2]["h"]


def test_weights_that_change_between_two_calls():
    case = Case("GRU")
    module, sequences, _ = made(case)
    x = torch.stack(sequences, 1)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    loops, accumulated = [], []
    with eg.watch(module) as seen:
        for _ in range(2):
            loops.append(Loop(module, list(x.unbind(1))))
            loops[-1].output.square().sum().backward()
            optimizer.zero_grad()
            module(x)[0].square().sum().backward()
            accumulated.append(module.weight_hh_l0.grad.clone())
            optimizer.step()
    for call, loop, g in zip(seen["GRU"].calls, loops, accumulated, strict=True):
        assert_close(call["a_n_l0"], loop.gradients()["a_n_l0"], FRAMEWORK)
        assert_close(call["weight_hh_l0"], g, FRAMEWORK)
    assert_close(seen["GRU"].weights["weight_hh_l0"], sum(accumulated), FRAMEWORK)
    assert all(row.ok for row in seen.agreement())


def test_a_weight_that_is_computed_from_others():
    """The gradient is that of the weight itself, which autograd passes on to its direction and size."""
    case = Case("LSTM", layers=2)
    module, sequences, _ = made(case)
    plain = copy.deepcopy(module)
    nn.utils.parametrizations.weight_norm(module, "weight_hh_l1")
    layer = watched(case, module, sequences, {})
    loop = looped(case, plain, sequences, {})
    for name, w in loop.weights.items():
        assert_close(layer.weights[name], w.grad, FRAMEWORK, name)
    with eg.watch(module) as seen:
        module(torch.stack(sequences, 1))[0].sum().backward()
    rows = {row.name: row.error for row in seen.agreement()}
    assert len(rows) == 8
    assert rows["ParametrizedLSTM.weight_hh_l1"] < FRAMEWORK


def test_parameters_shared_by_two_modules_agree_in_sum():
    case = Case("GRU")
    (a, sequences, _), (b, _, _) = made(case), made(case)
    for name, p in a.named_parameters():
        setattr(b, name, p)
    model = nn.ModuleDict({"a": a, "b": b})
    x = torch.stack(sequences, 1)
    with eg.watch(model) as seen:
        (a(x)[0].sum() + b(x.flip(0))[0].square().sum()).backward()
    for name, p in a.named_parameters():
        assert_close(seen["a"].weights[name] + seen["b"].weights[name], p.grad, FRAMEWORK, name)
    assert len(seen.agreement()) == 4
    assert all(row.ok for row in seen.agreement())


def test_a_layer_inside_of_a_larger_graph():
    """The input comes from other parameters, the loss reads it past the layer too; some of it is frozen."""
    torch.manual_seed(5)
    case = Case("LSTM", layers=2, bidirectional=True, batch_first=True)
    module, sequences, _ = made(case)
    module.weight_hh_l0.requires_grad_(False)
    before = nn.Linear(3, 3, dtype=torch.float64)
    x = torch.stack(sequences)
    with eg.watch(module) as seen:
        inner = before(x)
        (module(inner)[0][:, 2:4].sin().sum() + inner.sum()).backward()
    loop = Loop(module, list(before(x).unbind(0)))
    loop.output[2:4].sin().sum().backward()
    for name, g in loop.gradients().items():
        assert_close(seen["LSTM"][name], in_layout(case, name, g), FRAMEWORK, name)
    assert module.weight_hh_l0.grad is None
    assert_close(seen["LSTM"].weights["weight_hh_l0"], loop.weights["weight_hh_l0"].grad, FRAMEWORK)
