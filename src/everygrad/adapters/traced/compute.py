"""Functions of torch that compute, with torch's own arguments."""

from collections.abc import Callable
from typing import Any

from everygrad.adapters.torch_parts import softplus_fits
from everygrad.adapters.traced import arithmetic, shaping
from everygrad.adapters.traced.building import Building
from everygrad.adapters.traced.modules import embedded
from everygrad.adapters.traced.values import Held, Refused, Size, Value, what_is
from everygrad.graph.arithmetic import Add, Divide, Multiply, Subtract
from everygrad.graph.elementwise import Elementwise


def activation(rule: str) -> Callable[..., Value]:
    """The function of torch that is this elementwise operation."""

    def apply(building: Building, x: Any, inplace: bool = False) -> Value:
        return elementwise(building, x, Elementwise(rule))

    return apply


def elementwise(building: Building, x: Any, operation: Elementwise) -> Value:
    """g(x) of a tensor that depends on the data, or of a parameter."""
    operand = x if isinstance(x, Value) else arithmetic.as_operand(building, x)
    if not isinstance(operand, Value):
        raise Refused(f"it takes a tensor that depends on the data, or a parameter, got {what_is(x)}")
    return arithmetic.elementwise(building, operand, operation)


def gelu(building: Building, x: Any, approximate: str = "none") -> Value:
    """torch.nn.functional.gelu."""
    return elementwise(building, x, Elementwise("gelu_tanh" if approximate == "tanh" else "gelu"))


def elu(building: Building, x: Any, alpha: float = 1.0, inplace: bool = False) -> Value:
    """torch.nn.functional.elu."""
    return elementwise(building, x, Elementwise("elu", alpha=float(alpha)))


def leaky_relu(building: Building, x: Any, negative_slope: float = 0.01, inplace: bool = False) -> Value:
    """torch.nn.functional.leaky_relu."""
    return elementwise(building, x, Elementwise("leaky_relu", slope=float(negative_slope)))


def softplus(building: Building, x: Any, beta: float = 1.0, threshold: float = 20.0) -> Value:
    """torch.nn.functional.softplus."""
    if not softplus_fits(beta, threshold):
        raise Refused("only with beta=1 and a threshold of at least 20")
    return elementwise(building, x, Elementwise("softplus"))


def add(building: Building, x: Any, other: Any, alpha: float = 1) -> Value:
    """torch.add."""
    return arithmetic.binary(building, Add(), x, _scaled(building, other, alpha))


def subtract(building: Building, x: Any, other: Any, alpha: float = 1) -> Value:
    """torch.sub."""
    return arithmetic.binary(building, Subtract(), x, _scaled(building, other, alpha))


def subtract_from(building: Building, x: Any, other: Any, alpha: float = 1) -> Value:
    """torch.rsub."""
    return subtract(building, other, x, alpha)


def _scaled(building: Building, x: Any, alpha: float) -> Any:
    if alpha == 1:
        return x
    number = arithmetic.number_of(x)
    return arithmetic.binary(building, Multiply(), x, alpha) if number is None else number * alpha


def multiply(building: Building, x: Any, other: Any) -> Any:
    """torch.mul, also of sizes."""
    if isinstance(x, Size | int) and isinstance(other, Size | int):
        return x.times(other) if isinstance(x, Size) else other.times(x) if isinstance(other, Size) else x * other
    return arithmetic.binary(building, Multiply(), x, other)


def negative(building: Building, x: Any) -> Value:
    """torch.neg."""
    return arithmetic.binary(building, Multiply(), -1.0, x)


def divide(building: Building, x: Any, other: Any, rounding_mode: str | None = None) -> Value:
    """torch.div."""
    if rounding_mode is not None:
        raise Refused(f"rounding_mode={rounding_mode!r} has no derivative")
    return arithmetic.binary(building, Divide(), x, other)


def power(building: Building, x: Any, exponent: Any) -> Value:
    """torch.pow with a number as exponent."""
    p = arithmetic.number_of(exponent)
    if p is None:
        raise Refused("an exponent is a number")
    return elementwise(building, x, Elementwise("square") if p == 2 else Elementwise("power", p=p))


def linear(building: Building, x: Any, weight: Any, bias: Any = None) -> Value:
    """torch.nn.functional.linear with parameters of the module."""
    if not isinstance(weight, Held) or not (bias is None or isinstance(bias, Held)) or weight.tensor.ndim != 2:
        raise Refused("its weights must be parameters (nn.Parameter)")
    return arithmetic.linear(building, x, weight, bias)


def embedding(building: Building, x: Any, weight: Any, padding_idx: Any = None, *rest: Any, **options: Any) -> Value:
    """torch.nn.functional.embedding with a parameter of the module."""
    if any(rest) or any(options.values()) or not isinstance(weight, Held) or not isinstance(x, Value):
        raise Refused("it is read with tokens and a parameter, and without options")
    return embedded(building, x, weight, "")


def dropout(building: Building, x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """torch.nn.functional.dropout where it does nothing."""
    if training and p > 0:
        raise Refused("random in training mode: give it training=self.training and call model.eval() first")
    return x


def mean(building: Building, x: Value, dim: Any = None, keepdim: bool = False) -> Value:
    """torch.mean over one axis."""
    return _over(building, x, dim, keepdim, total=False)


def total(building: Building, x: Value, dim: Any = None, keepdim: bool = False) -> Value:
    """torch.sum over one axis."""
    return _over(building, x, dim, keepdim, total=True)


def _over(building: Building, x: Value, dim: Any, keepdim: bool, total: bool) -> Value:
    dims = dim if isinstance(dim, tuple | list) else (dim,)
    if len(dims) != 1 or dims[0] is None:
        raise Refused("over one axis only: give dim=")
    result = arithmetic.mean(building, x, dims[0], total)
    return shaping.unsqueezed(building, result, x.dim(dims[0])) if keepdim else result


def compare(building: Building, x: Any, other: Any) -> None:
    """Sizes are compared in assertions, which are left out."""
    if not isinstance(x, Size | int) or not isinstance(other, Size | int):
        raise Refused("a comparison has no derivative")
