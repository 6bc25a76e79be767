"""The operations as functions of symbols, for `everygrad.graph`: ``from everygrad import ops``."""

from typing import Any

from everygrad.errors import InputError
from everygrad.graph.affine import Affine
from everygrad.graph.arrange import Concatenate, Dot, Flatten, Sum, Transpose
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.losses import BinaryCrossEntropy, Reduce, SoftmaxCrossEntropy, SquaredError
from everygrad.graph.operation import Operation
from everygrad.graph.sequence import AtStep, Embedding, KeepSteps, MeanOverTime, StepWeight
from everygrad.graph.symbol import Symbol
from everygrad.graph.table import ELEMENTWISE, operation
from everygrad.graph.time.symbols import scan as scan


def apply(operation: Operation, *operands: Any) -> Symbol:
    """Any operation, also one of the user's own (a subclass of `Operation`), applied to symbols."""
    if not isinstance(operation, Operation) or not isinstance(getattr(operation, "name", None), str):
        raise InputError(f"apply takes an Operation with a name, got {operation!r}: subclass everygrad.Operation")
    builder = next((o.builder for o in operands if isinstance(o, Symbol)), None)
    if builder is None:
        kinds = ", ".join(type(o).__name__ for o in operands) or "nothing"
        raise InputError(f"{operation.name} acts on symbols inside a function given to eg.graph, got {kinds}")
    return builder.apply(operation, *operands)


def activation(name: str, a: Symbol, **constants: float) -> Symbol:
    """h = g(a) for an elementwise function by name."""
    return apply(operation(name, ELEMENTWISE, **constants), a)


def identity(a: Symbol) -> Symbol:
    """h = a."""
    return apply(Elementwise("identity"), a)


def sigmoid(a: Symbol) -> Symbol:
    """h = 1/(1 + e^−a)."""
    return apply(Elementwise("sigmoid"), a)


def tanh(a: Symbol) -> Symbol:
    """h = tanh(a)."""
    return apply(Elementwise("tanh"), a)


def relu(a: Symbol) -> Symbol:
    """h = max(a, 0), with relu′(0) = 0."""
    return apply(Elementwise("relu"), a)


def leaky_relu(a: Symbol, slope: float = 0.01) -> Symbol:
    """h = a for a > 0, slope·a otherwise."""
    return apply(Elementwise("leaky_relu", slope=slope), a)


def elu(a: Symbol, alpha: float = 1.0) -> Symbol:
    """h = a for a > 0, α(e^a − 1) otherwise."""
    return apply(Elementwise("elu", alpha=alpha), a)


def gelu(a: Symbol) -> Symbol:
    """h = a Φ(a), with the normal distribution function Φ."""
    return apply(Elementwise("gelu"), a)


def gelu_tanh(a: Symbol) -> Symbol:
    """h = a/2 (1 + tanh(√(2/π)(a + 0.044715 a³))), the approximation of `gelu`."""
    return apply(Elementwise("gelu_tanh"), a)


def silu(a: Symbol) -> Symbol:
    """h = a σ(a)."""
    return apply(Elementwise("silu"), a)


def softplus(a: Symbol) -> Symbol:
    """h = log(1 + e^a)."""
    return apply(Elementwise("softplus"), a)


def exp(a: Symbol) -> Symbol:
    """h = e^a."""
    return apply(Elementwise("exp"), a)


def log(a: Symbol) -> Symbol:
    """h = log a."""
    return apply(Elementwise("log"), a)


def square(a: Symbol) -> Symbol:
    """h = a²."""
    return apply(Elementwise("square"), a)


def power(a: Symbol, p: float) -> Symbol:
    """h = a^p for a constant p."""
    return apply(Elementwise("power", p=float(p)), a)


def sqrt(a: Symbol) -> Symbol:
    """h = √a."""
    return apply(Elementwise("sqrt"), a)


def sin(a: Symbol) -> Symbol:
    """h = sin a."""
    return apply(Elementwise("sin"), a)


def cos(a: Symbol) -> Symbol:
    """h = cos a."""
    return apply(Elementwise("cos"), a)


def affine(h: Symbol, W: Symbol, b: Symbol | None = None) -> Symbol:
    """a = W h + b, W of shape (out, in)."""
    return apply(Affine(), h, W) if b is None else apply(Affine(), h, W, b)


def concatenate(*parts: Symbol) -> Symbol:
    """[u; v; ...], vectors one below the other."""
    return apply(Concatenate(), *parts)


def flatten(x: Symbol) -> Symbol:
    """The components of each sample as one vector."""
    return apply(Flatten(), x)


def transpose(X: Symbol) -> Symbol:
    """Xᵀ."""
    return apply(Transpose(), X)


def sum(h: Symbol) -> Symbol:
    """Σ_j h_j, a number per sample."""
    return apply(Sum(), h)


def dot(u: Symbol, v: Symbol) -> Symbol:
    """uᵀv, a number per sample."""
    return apply(Dot(), u, v)


def embedding(tokens: Symbol, E: Symbol) -> Symbol:
    """E[token], a row of the table E (vocabulary, size) for each token."""
    return apply(Embedding(), tokens, E)


def at_step(h: Symbol, step: int = -1) -> Symbol:
    """h_t for one step of a sequence; −1 is the last one."""
    return apply(AtStep(step), h)


def mean_over_time(h: Symbol, counting: Symbol | None = None) -> Symbol:
    """1/T Σ_t h_t, over the steps that ``counting``, lengths or a mask, lets count."""
    return apply(MeanOverTime(), h) if counting is None else apply(MeanOverTime(), h, counting)


def keep_steps(x: Symbol, counting: Symbol) -> Symbol:
    """x_t where the step counts by lengths or a mask, 0 in the padding."""
    return apply(KeepSteps(), x, counting)


def step_weight(z: Symbol, counting: Symbol, weight: Symbol | None = None) -> Symbol:
    """The weight of each step in a loss of z: 0 in the padding, else 1 or the given one."""
    return apply(StepWeight(), z, counting) if weight is None else apply(StepWeight(), z, counting, weight)


def _weighted(loss: Operation, z: Symbol, target: Any, weight: Symbol | None) -> Symbol:
    return apply(loss, z, target) if weight is None else apply(loss, z, target, weight)


def softmax_cross_entropy(
    z: Symbol, target: Symbol, weight: Symbol | None = None, reduction: str = "mean", smoothing: float = 0.0
) -> Symbol:
    """−Σ_k t_k log softmax(z)_k for class labels or distributions; see `SoftmaxCrossEntropy`."""
    return _weighted(SoftmaxCrossEntropy(reduction, smoothing), z, target, weight)


def binary_cross_entropy(
    z: Symbol, target: Symbol, weight: Symbol | None = None, reduction: str = "mean", outputs: str = "sum"
) -> Symbol:
    """Cross-entropy of σ(z) with targets in [0, 1], from logits; see `BinaryCrossEntropy`."""
    return _weighted(BinaryCrossEntropy(reduction, outputs), z, target, weight)


def squared_error(
    z: Symbol,
    target: Symbol,
    weight: Symbol | None = None,
    reduction: str = "mean",
    outputs: str = "sum",
    half: bool = False,
) -> Symbol:
    """Σ_k (z_k − t_k)², or half of it; see `SquaredError`."""
    return _weighted(SquaredError(reduction, outputs, half), z, target, weight)


def reduce(losses: Symbol, weight: Symbol | None = None, reduction: str = "mean") -> Symbol:
    """Σ_n c_n ℓ_n over the samples: the last step of a loss of one's own; see `Reduce`."""
    return apply(Reduce(reduction), losses) if weight is None else apply(Reduce(reduction), losses, weight)
