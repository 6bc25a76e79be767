"""Every number that a verdict compares with, in one place."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where a finding begins. All are conventions, none is a law; pass others to `verdict` to move them.

    The flow is the RMS of ∇a per unit and sample, relative to that of the layer next to the loss. A
    healthy initialisation keeps it within two powers of ten over ten layers; a sigmoid, whose slope is
    at most 1/4, loses a factor of about four in each layer. Over time it is the RMS of the states' gradient
    at one step, relative to the largest that arrives from outside at that step or a later one.
    """

    vanishing: float = 1e-3
    """A layer gets less than this share of the last layer's gradient: a warning."""
    forgotten: float = 1e-4
    """A time step gets less than this share of what arrives at a later one: a warning. Networks that remember ten or
    twenty steps are well, so it is looser than from layer to layer."""
    vanished: float = 1e-6
    """Less than this, layer or step: an error, what is left is below the rounding of float32."""
    exploding: float = 1e3
    """A layer gets more than this multiple of the last layer's gradient, a step of a later step's: a warning."""
    exploded: float = 1e6
    """More than this: an error."""
    flat_slope: float = 0.01
    """|g′| below this share of the activation's steepest slope is flat: a weight needs 100 times the steps."""
    saturated_unit: float = 0.95
    """A unit is saturated if it is flat for at least this share of the samples."""
    unit_share: float = 0.5
    """So many of a layer's units saturated or dead: a warning; fewer are noted."""
    layer_share: float = 0.9
    """So many of a layer's units saturated: an error. A layer whose units are all dead is always one."""
    main_part: float = 0.5
    """What makes so much of a fall or a rise over time (in powers of ten) is its cause: one step, a gate, a slope."""
    low_slope: float = 0.4
    """A mean slope below this is what makes a gradient fall from layer to layer."""
    few_samples: int = 8
    """With fewer samples than this, a unit that is off for all of them says little: one level milder, and no note."""
    huge_loss: float = 1e6
    """A mean loss per sample above this: the targets or the outputs are on another scale."""
    small_loss: float = 1e-12
    """A mean loss per sample below this: there is nothing left to learn from this batch."""


THRESHOLDS = Thresholds()
"""The ones that are used unless others are given."""
