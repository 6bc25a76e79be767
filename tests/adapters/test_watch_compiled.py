"""A watched model whose loops run as machine code: the same gradients."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("llvmlite")

import everygrad as eg  # noqa: E402
from everygrad.checks.tolerance import assert_close  # noqa: E402
from everygrad.errors import UnknownNameError  # noqa: E402


def seen_of(module, engine, batch=7, steps=12):
    torch.manual_seed(0)
    model = torch.nn.ModuleDict({"net": module, "out": torch.nn.Linear(module.hidden_size * 2, 3)}).double()
    x, y = torch.randn(batch, steps, 5, dtype=torch.float64), torch.randint(0, 3, (batch,))
    model.zero_grad()
    with eg.watch(model, engine=engine) as seen:
        torch.nn.functional.cross_entropy(model["out"](model["net"](x)[0][:, -1]), y).backward()
    return seen


@pytest.mark.parametrize("kind", [torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU])
def test_the_gradients_are_the_same(kind):
    torch.manual_seed(1)
    module = kind(5, 9, num_layers=2, bidirectional=True, batch_first=True)
    plain, compiled = seen_of(module, "numpy"), seen_of(module, "compiled")
    assert set(plain["net"]) == set(compiled["net"])
    for name in plain["net"]:
        assert_close(compiled["net"][name], plain["net"][name], name=name)
        if name in plain["net"].direct:
            assert_close(compiled["net"].direct[name], plain["net"].direct[name], name=f"direct {name}")
    assert all(row.ok for row in compiled.agreement())


def test_an_engine_that_is_not_there():
    with pytest.raises(UnknownNameError, match="Known: compiled, numpy"):
        eg.watch(torch.nn.LSTM(2, 3), engine="fast")
