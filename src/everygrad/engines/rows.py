"""Rows of a matrix by whole numbers: read them, and add to them, in any array library."""

import array_api_compat

from everygrad.engines.arrays import Array, kind_of, namespace
from everygrad.engines.program.primitives import called


def take_rows(table: Array, index: Array) -> Array:
    """table[index]: (V, n) and whole numbers (*lead) -> (*lead, n)."""
    xp = namespace(table)
    flat = xp.reshape(index, (-1,))
    if array_api_compat.is_torch_array(flat):
        flat = flat.long()  # torch indexes with no smaller type
    return xp.reshape(xp.take(table, flat, axis=0), (*index.shape, table.shape[-1]))


def add_rows(values: Array, index: Array, rows: int) -> Array:
    """S[v] = Σ of values[k] over the k with index[k] = v: (N, n) and whole numbers (N,) -> (rows, n).

    Cost: one pass over the values. Nothing of the size N × rows is formed.
    """
    kind = kind_of(values)
    if array_api_compat.is_torch_array(values):
        return kind.zeros((rows, values.shape[-1])).index_add_(0, index.long(), values)
    if array_api_compat.is_jax_array(values):
        return kind.zeros((rows, values.shape[-1])).at[index].add(values)
    return called("sums_of_rows", values, index, rows)
