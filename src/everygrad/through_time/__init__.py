"""Time, looked into: state Jacobians and their products, the tensor ∂⁺s_k/∂W, credit term by term.

Every function takes what is at hand: a network with its parameters and data, a `Gradients`, a `Trace`, or a `Run` (with
the gradients that arrive at it, a `Recurrence`). ``layer`` names the recurrent layer: "l0", "l1_reverse". Arrays have
the time first, then the samples, in the order in which the layer reads; steps count from 0, −1 is the initial state.
"""

from everygrad.through_time.bound import Bound, bound
from everygrad.through_time.credit import Credit, credit, credit_tables
from everygrad.through_time.decay import Decay, Horizon, decay, horizon
from everygrad.through_time.jacobian import StateJacobian, state_jacobian
from everygrad.through_time.lyapunov import Lyapunov, lyapunov
from everygrad.through_time.products import pull_back, push_forward, state_product
from everygrad.through_time.scaled import Scaled
from everygrad.through_time.source import Recurrence
from everygrad.through_time.tensor import Tensor, adjoints, tensor
from everygrad.through_time.truncated import Bias, Truncation, truncated

__all__ = [
    "Bias",
    "Bound",
    "Credit",
    "Decay",
    "Horizon",
    "Lyapunov",
    "Recurrence",
    "Scaled",
    "StateJacobian",
    "Tensor",
    "Truncation",
    "adjoints",
    "bound",
    "credit",
    "credit_tables",
    "decay",
    "horizon",
    "lyapunov",
    "pull_back",
    "push_forward",
    "state_jacobian",
    "state_product",
    "tensor",
    "truncated",
]
