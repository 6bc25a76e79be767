"""What is done with NumPy arrays, written down once and run as straight-line code."""
