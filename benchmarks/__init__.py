"""Speed against rivals on the same work, side by side in one process: ``make bench``."""
