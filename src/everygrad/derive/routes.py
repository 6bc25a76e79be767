"""What one route adds: a factor for each element, a product of Jacobians, and the collected form with vectors."""

from collections.abc import Sequence

from everygrad.derive import expr as e
from everygrad.derive.expr import Expr, Name, Product, Transpose
from everygrad.derive.written import Route

Index = tuple[str, ...]
LETTERS = "ijlmnouvw"
_WHOLE = ("softmax", "sum", "vec", "mean")
"""Functions that do not act element by element."""


def is_scalar(node: Expr) -> bool:
    """Whether a formula is one number: no vector in it but inside of a sum or an inner product."""
    match node:
        case Name(shape=shape, index=index):
            return bool(index) or not shape
        case e.Call(function="sum"):
            return True
        case Product((Transpose(Name(shape=(_,))), Name(shape=(_,))), "@"):
            return True
        case e.At(_, (e.Words(text),)) if text.lstrip("-").isdigit():
            return True
    return all(is_scalar(part) for part in e.children(node))


def at_element(node: Expr, index: Index) -> Expr:
    """One element of a formula for a vector: names get the index, where functions act element by element."""
    if not index or is_scalar(node):
        return node
    match node:
        case Name(text, step, (), shape):
            fits = shape is not None and len(shape) == len(index)
            return Name(text, step, index, shape) if fits else node
        case Product((left, right), "@") if len(index) == 1:
            inner = next(letter for letter in LETTERS if letter not in index)
            return e.Big("Σ", inner, e.times(entry(left, (*index, inner)), at_element(right, (inner,))))
        case e.Call(function, _) if function in _WHOLE:
            return e.At(node, tuple(map(e.Words, index)))
        case Transpose() | e.At() | e.Stack() | e.Phrase() | e.Big() | Product(_, "@" | "⊗"):
            return e.At(node, tuple(map(e.Words, index)))
        case Product(factors, _):
            return Product(tuple(at_element(f, index) for f in factors), "*")
    return e.mapped(node, lambda part: at_element(part, index))


def entry(matrix: Expr, index: Index) -> Expr:
    """M[p, j]; of a transposed matrix M[j, p]."""
    if isinstance(matrix, Transpose):
        return entry(matrix.of, index[::-1])
    if isinstance(matrix, Name) and not matrix.index:
        return Name(matrix.text, matrix.step, index, matrix.shape)
    return e.At(matrix, tuple(map(e.Words, index)))


def pointwise(route: Route) -> bool:
    """Whether each component meets only its own: ∂u[p]/∂v[q] is zero unless p = q."""
    *before, last = route
    return all(edge.kind in ("one", "diagonal") for edge in before) and last.kind in ("one", "diagonal")


def of_weight(route: Route) -> bool:
    """Whether ∂u[p]/∂W[q,r] is zero unless p = q."""
    *before, last = route
    return all(edge.kind in ("one", "diagonal") for edge in before) and last.kind == "weight"


def element(route: Route, p: Index, target: Index) -> Expr:
    """∂u[p]/∂v[target]; for routes that are pointwise or of a weight, where p = q."""
    factors: list[Expr] = []
    sums: list[str] = []
    at = p
    for edge in route:
        last = edge is route[-1]
        match edge.kind:
            case "one":
                continue
            case "diagonal" | "spread":
                factors.append(at_element(edge.formula, at))
                at = at if edge.kind == "diagonal" else ()
            case "matrix" | "row":
                new = target if last else (_fresh((*p, *target, *sums)),) * (edge.kind == "matrix" or bool(at) or True)
                if edge.kind == "matrix":
                    factors.append(entry(edge.formula, (*at, *new)))
                else:
                    factors.append(at_element(edge.formula, new))
                sums += [] if last else list(new)
                at = new
            case "weight" if last and len(target) == 2:
                factors.append(at_element(edge.formula, target[1:]))
            case _:
                return e.At(jacobian(route), tuple(map(e.Words, (*p, *target))))
    found = e.times(*factors) if factors else e.ONE
    for letter in reversed(sums):
        found = e.Big("Σ", letter, found)
    return found


def _fresh(used: Sequence[str]) -> str:
    return next(letter for letter in LETTERS if letter not in used)


def jacobian(route: Route) -> Expr:
    """∂u/∂v as a product of matrices."""
    factors: list[Expr] = []
    for edge in route:
        match edge.kind:
            case "one":
                continue
            case "diagonal":
                factors.append(edge.formula if is_scalar(edge.formula) else e.Diag(edge.formula))
            case "weight":
                factors.append(Product((Name("I"), Transpose(edge.formula)), "⊗"))
            case "row":
                factors.append(edge.formula if is_scalar(edge.formula) else Transpose(edge.formula))
            case _:
                factors.append(edge.formula)
    return e.times(*factors, sign="@") if factors else Name("I")


def pulled(route: Route, g: Expr) -> Expr:
    """(∂u/∂v)ᵀ g: what the route adds to the gradient of v, with whole vectors."""
    for edge in route:
        f = edge.formula
        match edge.kind:
            case "one":
                continue
            case "diagonal" | "row":
                g = e.times(f, g) if is_scalar(f) or is_scalar(g) else _hadamard(g, f)
            case "spread":
                g = e.Call("sum", (e.times(f, g) if is_scalar(f) else _hadamard(g, f),))
            case "matrix":
                g = e.times(_transposed(f), g, sign="@")
            case "weight":
                g = e.times(g, Transpose(f), sign="@")
            case _:
                g = e.times(Transpose(f), g, sign="@")
    return g


def _transposed(matrix: Expr) -> Expr:
    return matrix.of if isinstance(matrix, Transpose) else Transpose(matrix)


def _hadamard(g: Expr, f: Expr) -> Expr:
    if isinstance(f, e.Product) and f.sign == "*":
        f = Product(f.factors, "⊙") if all(not is_scalar(x) for x in f.factors) else f
    return e.times(g, f, sign="⊙")
