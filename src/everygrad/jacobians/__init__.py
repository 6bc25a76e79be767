"""Jacobians that know their structure: ∂v/∂u for each sample, applied, composed and added without being dense.

The types are Identity, Zero, Diagonal (rule 3), Dense (rule 2), Selection (split, concatenate, broadcast), Row (a
loss), Weight (∂·/∂W, a matrix M and a vector h for M ⊗ hᵀ), its mirror images Lookup (one row of a table) and Mixture
(rows added up: a mean over time), and the lazy Sum and Product. `CLOSURE.md` says what two of them give together.
"""

from everygrad.jacobians.algebra import TYPES
from everygrad.jacobians.base import DENSE_LIMIT, Jacobian
from everygrad.jacobians.basic import Diagonal, Identity, Zero
from everygrad.jacobians.dense import Dense
from everygrad.jacobians.lazy import Product, Sum
from everygrad.jacobians.mixing import Lookup, Mixture
from everygrad.jacobians.registry import ADD, COMPOSE, add, compose
from everygrad.jacobians.row import Row
from everygrad.jacobians.selection import Selection
from everygrad.jacobians.weight import Weight

__all__ = [
    "ADD",
    "COMPOSE",
    "DENSE_LIMIT",
    "TYPES",
    "Dense",
    "Diagonal",
    "Identity",
    "Jacobian",
    "Lookup",
    "Mixture",
    "Product",
    "Row",
    "Selection",
    "Sum",
    "Weight",
    "Zero",
    "add",
    "compose",
]
