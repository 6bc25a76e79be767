"""What holds for every test: hypothesis draws the same examples on every machine and in every run."""

import os

from hypothesis import HealthCheck, settings

# A deadline, like hypothesis' complaint that drawing is slow, measures how busy the machine is.
settings.register_profile(
    "fixed",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
# EVERYGRAD_HYPOTHESIS=explore draws others in each run, and ten times as many where a test does not set the number.
settings.register_profile("explore", settings.get_profile("fixed"), derandomize=False, max_examples=1000)
settings.load_profile(os.environ.get("EVERYGRAD_HYPOTHESIS", "fixed"))
