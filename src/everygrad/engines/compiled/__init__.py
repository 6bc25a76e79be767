"""Loops of NumPy arrays compiled to machine code: a recorded body, all steps and samples, in one function.

The text is LLVM's own language, written with vectors of the machine's width, and compiled by llvmlite (the extra
``everygrad[compiled]``).
"""
