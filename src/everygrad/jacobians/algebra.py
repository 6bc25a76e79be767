"""The rules of the two closure tables. `CLOSURE.md` is written from them; see `closure.py`.

A rule that is registered first wins, so the general laws stand on top, in the order in which they take precedence.
"""

from collections.abc import Iterable

import numpy as np

from everygrad.engines import Array
from everygrad.jacobians.base import Jacobian
from everygrad.jacobians.basic import Diagonal, Identity, Zero
from everygrad.jacobians.dense import Dense
from everygrad.jacobians.lazy import Lazy, Product, Sum
from everygrad.jacobians.mixing import Lookup, Mixing, Mixture
from everygrad.jacobians.registry import ADD, COMPOSE, add, compose
from everygrad.jacobians.row import Row
from everygrad.jacobians.selection import Selection
from everygrad.jacobians.weight import Weight

TYPES = (Identity, Zero, Diagonal, Dense, Selection, Row, Weight, Lookup, Mixture, Sum, Product)

composes = COMPOSE.register
adds = ADD.register


# J ∘ K


@composes((Identity,), TYPES, "right")
def _identity_first(_: Identity, K: Jacobian) -> Jacobian:
    return K


@composes(TYPES, (Identity,), "left")
def _identity_last(J: Jacobian, _: Identity) -> Jacobian:
    return J


@composes((Zero,), TYPES, "Zero")
@composes(TYPES, (Zero,), "Zero")
def _annihilate(J: Jacobian, K: Jacobian) -> Zero:
    return Zero(J.kind, J.out_shape, K.in_shape)


@composes(TYPES, (Weight,), "Weight")
def _into_weight(J: Jacobian, K: Weight) -> Weight:
    """J ∘ (M ⊗ hᵀ) = (J ∘ M) ⊗ hᵀ."""
    return Weight(compose(J, K.M), K.h)


@composes(TYPES, (Lookup, Mixture), "right")
def _into_mixing(J: Jacobian, K: Mixing) -> Mixing:
    """J ∘ (c ⊗ M) = c ⊗ (J ∘ M)."""
    return K.with_matrix(compose(J, K.M))


@composes((Product,), TYPES, "merged")
@composes(TYPES, (Product,), "merged")
def _chain(J: Jacobian, K: Jacobian) -> Jacobian:
    """Neighbours are merged, from the seam on, as long as the table gives something else than a Product."""
    kept, rest = [*_factors(J)], _factors(K)
    for position, own in enumerate(rest):
        factor = own
        while kept:
            merged = COMPOSE.apply(kept[-1], factor)
            if isinstance(merged, Product):
                break
            kept.pop()
            factor = merged
        kept.append(factor)
        if factor is own:  # it changed nothing for its right neighbour
            kept += rest[position + 1 :]
            break
    return kept[0] if len(kept) == 1 else Product(tuple(kept))


def _factors(J: Jacobian) -> tuple[Jacobian, ...]:
    return J.factors if isinstance(J, Product) else (J,)


@composes((Sum,), TYPES, "merged")
def _distribute_right(J: Sum, K: Jacobian) -> Jacobian:
    """(Σ J_i) ∘ K = Σ J_i ∘ K, unless a term would be lazy."""
    return _total_unless_lazy([COMPOSE.apply(term, K) for term in J.terms], J, K)


@composes(TYPES, (Sum,), "merged")
def _distribute_left(J: Jacobian, K: Sum) -> Jacobian:
    """J ∘ (Σ K_i) = Σ J ∘ K_i, unless a term would be lazy."""
    return _total_unless_lazy([COMPOSE.apply(J, term) for term in K.terms], J, K)


def _total_unless_lazy(terms: list[Jacobian], J: Jacobian, K: Jacobian) -> Jacobian:
    if any(isinstance(term, Lazy) for term in terms):
        return Product((J, K))
    return _total([], terms)


@composes((Diagonal,), (Diagonal,), "Diagonal")
def _diagonals(J: Diagonal, K: Diagonal) -> Diagonal:
    return Diagonal(J.d * K.d, J.ndim)


@composes((Diagonal,), (Dense,), "Dense")
def _scale_rows(J: Diagonal, K: Dense) -> Dense:
    return Dense(J.flat[..., :, None] * K.A, K.out_shape, K.in_shape)


@composes((Dense,), (Diagonal,), "Dense")
def _scale_columns(J: Dense, K: Diagonal) -> Dense:
    return Dense(J.A * K.flat[..., None, :], J.out_shape, J.in_shape)


@composes((Dense,), (Dense,), "Dense")
def _matrices(J: Dense, K: Dense) -> Dense:
    return Dense(J.A @ K.A, J.out_shape, K.in_shape)


@composes((Dense,), (Selection,), "Dense")
def _add_up_columns(J: Dense, K: Selection) -> Dense:
    return Dense(K._pull(J.A), J.out_shape, K.in_shape)


@composes((Selection,), (Dense,), "Dense")
def _take_rows(J: Selection, K: Dense) -> Dense:
    return Dense(J.rows_of(K.A), J.out_shape, K.in_shape)


@composes((Selection,), (Selection,), "Selection")
def _select_twice(J: Selection, K: Selection) -> Selection:
    index = np.where(J.index < 0, -1, K.index[J.index])
    return Selection(J.kind, index, K.in_shape, J.out_shape)


@composes((Row,), (Diagonal, Dense, Selection, Row), "Row")
def _pull_row(J: Row, K: Jacobian) -> Row:
    return Row(K.pull(J.r), len(K.in_shape), J.out_shape)


@composes((Diagonal,), (Row,), "Row")
def _scale_row(J: Diagonal, K: Row) -> Row:
    return Row(K.pull(J.d), K.in_ndim, J.out_shape)


@composes(TYPES, TYPES, "Product")
def _keep_both(J: Jacobian, K: Jacobian) -> Product:
    return Product((J, K))


# J + K


@adds((Zero,), TYPES, "right")
def _zero_first(_: Zero, K: Jacobian) -> Jacobian:
    return K


@adds(TYPES, (Zero,), "left")
def _zero_last(J: Jacobian, _: Zero) -> Jacobian:
    return J


@adds((Sum,), TYPES, "merged")
@adds(TYPES, (Sum,), "merged")
def _gather_terms(J: Jacobian, K: Jacobian) -> Jacobian:
    return _total([*_terms(J)], _terms(K))


def _terms(J: Jacobian) -> tuple[Jacobian, ...]:
    return J.terms if isinstance(J, Sum) else (J,)


def _total(kept: list[Jacobian], more: Iterable[Jacobian]) -> Jacobian:
    """The sum of all, each of ``more`` merged with every earlier term that the table merges it with."""
    for new in more:
        apart = []
        for old in kept:
            both = ADD.apply(old, new)
            if isinstance(both, Sum):
                apart.append(old)
            else:
                new = both
        kept = [*apart, new]
    return kept[0] if len(kept) == 1 else Sum(tuple(kept))


@adds((Identity, Diagonal), (Identity, Diagonal), "Diagonal")
def _diagonal_sum(J: Identity | Diagonal, K: Identity | Diagonal) -> Diagonal:
    return Diagonal(_diagonal_of(J) + _diagonal_of(K), len(J.out_shape))


def _diagonal_of(J: Identity | Diagonal) -> Array:
    return J.d if isinstance(J, Diagonal) else J.kind.ones(J.out_shape)


@adds((Dense,), (Identity, Diagonal, Dense, Selection, Row), "Dense")
@adds((Identity, Diagonal, Selection, Row), (Dense,), "Dense")
def _dense_sum(J: Jacobian, K: Jacobian) -> Dense:
    return Dense(J._dense() + K._dense(), J.out_shape, J.in_shape)


@adds((Row,), (Row,), "Row")
def _row_sum(J: Row, K: Row) -> Row:
    return Row(J.r + K.r, J.in_ndim, J.out_shape)


@adds((Weight,), (Weight,), "Weight", "Sum")
def _weight_sum(J: Weight, K: Weight) -> Jacobian:
    """M ⊗ hᵀ + N ⊗ hᵀ = (M + N) ⊗ hᵀ if both hold the same array h."""
    if J.h is K.h and J.M.in_shape == K.M.in_shape:
        return Weight(add(J.M, K.M), J.h)
    return Sum((J, K))


@adds((Lookup,), (Lookup,), "Lookup", "Sum")
@adds((Mixture,), (Mixture,), "Mixture", "Sum")
def _mixing_sum(J: Mixing, K: Mixing) -> Jacobian:
    """c ⊗ M + c ⊗ N = c ⊗ (M + N) if both hold the same coefficients."""
    if J.same_rows(K) and J.M.in_shape == K.M.in_shape:
        return J.with_matrix(add(J.M, K.M))
    return Sum((J, K))


@adds(TYPES, TYPES, "Sum")
def _keep_terms(J: Jacobian, K: Jacobian) -> Sum:
    return Sum((J, K))
