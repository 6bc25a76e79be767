"""Whether a gradient is right: the complex step, finite differences, or an oracle of the user's own."""
