"""What a recurrent module of torch is, as far as its equations go."""

from dataclasses import dataclass
from typing import Any, Literal, final

from torch import nn

Family = Literal["RNN", "LSTM", "GRU"]

GATES: dict[Family, tuple[str, ...]] = {"RNN": ("",), "LSTM": ("_i", "_f", "_g", "_o"), "GRU": ("_r", "_z", "_n")}
"""The order in which torch stacks the gates in one matrix, as they end in our names."""

_FAMILIES: tuple[tuple[type[nn.Module], Family], ...] = (
    (nn.RNN, "RNN"),
    (nn.LSTM, "LSTM"),
    (nn.GRU, "GRU"),
    (nn.RNNCell, "RNN"),
    (nn.LSTMCell, "LSTM"),
    (nn.GRUCell, "GRU"),
)


@final
@dataclass(frozen=True, slots=True)
class Setting:
    """The equations of one recurrent module: its family and its sizes.

    ``is_cell``: nn.LSTMCell and its like, one step of one layer, whose names end in nothing. ``dropout`` is that
    between the layers in this call, 0 in eval mode.
    """

    family: Family
    activation: str
    layers: int
    directions: int
    units: int
    projection: int
    bias: bool
    batch_first: bool
    is_cell: bool
    dropout: float

    @property
    def state_names(self) -> tuple[str, ...]:
        """The states, in torch's order."""
        return ("h", "c") if self.family == "LSTM" else ("h",)

    @property
    def outputs(self) -> int:
        """How many numbers of h a direction gives."""
        return self.projection or self.units

    def suffix(self, layer: int, direction: int) -> str:
        """What the names of a layer's quantities and parameters end in, as torch's do."""
        return "" if self.is_cell else f"_l{layer}" + ("_reverse" if direction else "")

    def parameters(self) -> tuple[str, ...]:
        """The names of one layer's parameters, without suffix."""
        biases = ("bias_ih", "bias_hh") if self.bias else ()
        return ("weight_ih", "weight_hh", *biases, *(("weight_hr",) if self.projection else ()))


def family(module: nn.Module) -> Family | None:
    """RNN, LSTM or GRU; None for what is not recurrent."""
    return next((name for kind, name in _FAMILIES if isinstance(module, kind)), None)


def setting(module: Any) -> Setting:
    """The setting of a module that has a `family`, as it is now (training or not)."""
    found = family(module)
    assert found is not None  # the caller asked
    is_cell = isinstance(module, nn.RNNCellBase)
    many = not is_cell and module.num_layers > 1
    return Setting(
        family=found,
        activation=getattr(module, "nonlinearity", "tanh"),
        layers=1 if is_cell else module.num_layers,
        directions=2 if not is_cell and module.bidirectional else 1,
        units=module.hidden_size,
        projection=0 if is_cell else module.proj_size,
        bias=module.bias,
        batch_first=not is_cell and module.batch_first,
        is_cell=is_cell,
        dropout=module.dropout if many and module.training else 0.0,
    )
