"""Functions of each element of a vector, as LLVM's text: exponential, hyperbolic tangent and what NumPy has.

NaN stays NaN everywhere. exp: Cody and Waite's reduction x = n ln 2 + r, |r| <= ln 2 / 2, the Taylor polynomial of e^r,
and two multiplications by powers of two, so that results below the smallest normal number are rounded once. tanh: an
odd polynomial (float32) or a rational function (float64) near 0, 1 - 2/(e^2|x| + 1) elsewhere; coefficients of
Moshier's Cephes library (tanhf.c, tanh.c).
"""

import math
from typing import final

from everygrad.engines.compiled.lines import Lines

_LN2 = {4: (0.693145751953125, 1.42860682030941723212e-6), 8: (6.93145751953125e-1, 1.42860682030941723212e-6)}
_ROUND = {4: 1.5 * 2.0**23, 8: 1.5 * 2.0**52}  # adding it leaves no room for what is behind the point
_EXP_ENDS = {4: (-104.5, 89.0), 8: (-746.0, 710.0)}  # beyond them the result is 0 or infinite
_TERMS = {4: 7, 8: 13}
_BIAS, _MANTISSA = {4: 127, 8: 1023}, {4: 23, 8: 52}
_TANH_NEAR = 0.625
_TANH_ODD = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
_TANH_P = (-9.64399179425052238628e-1, -9.92877231001918586564e1, -1.61468768441708447952e3)
_TANH_Q = (1.0, 1.12811678491632931402e2, 2.23548839060100448583e3, 4.84406305325125486048e3)


@final
class Functions:
    """Vectors in, vectors out; the result of the same function of the same vectors is written once."""

    def __init__(self, lines: Lines) -> None:
        self._lines, self._t = lines, lines.target

    def number(self, value: float) -> str:
        """A vector of one number."""
        return self._t.splat(value)

    def two(self, what: str, a: str, b: str) -> str:
        """fadd, fsub, fmul, fdiv."""
        return self._lines.let(f"{what} {self._t.vector} {a}, {b}")

    def fma(self, a: str, b: str, c: str) -> str:
        """a b + c, rounded once where the machine can."""
        v = self._t.vector
        return self._lines.call(f"llvm.fmuladd.{self._t.suffix}", v, f"{v} {a}", f"{v} {b}", f"{v} {c}")

    def one(self, name: str, a: str) -> str:
        """One of LLVM's functions: fabs, sqrt, log, sin, cos."""
        return self._lines.call(f"llvm.{name}.{self._t.suffix}", self._t.vector, f"{self._t.vector} {a}")

    def power(self, a: str, b: str) -> str:
        v = self._t.vector
        return self._lines.call(f"llvm.pow.{self._t.suffix}", v, f"{v} {a}", f"{v} {b}")

    def library(self, name: str, a: str) -> str:
        """A function of the C library, element by element."""
        own, result = name + ("f" if self._t.itemsize == 4 else ""), "poison"
        for lane in range(self._t.lanes):
            x = self._lines.let(f"extractelement {self._t.vector} {a}, i32 {lane}")
            y = self._lines.call(own, self._t.number, f"{self._t.number} {x}")
            result = self._lines.let(f"insertelement {self._t.vector} {result}, {self._t.number} {y}, i32 {lane}")
        return result

    def negative(self, a: str) -> str:
        return self._lines.let(f"fneg {self._t.vector} {a}")

    def compare(self, how: str, a: str, b: str) -> str:
        """fcmp: oeq, olt, ..."""
        return self._lines.let(f"fcmp {how} {self._t.vector} {a}, {b}")

    def select(self, condition: str, a: str, b: str) -> str:
        kind = self._t.vector
        return self._lines.let(f"select {self._t.many('i1')} {condition}, {kind} {a}, {kind} {b}")

    def extreme(self, how: str, a: str, b: str) -> str:
        """minimum ("olt") or maximum ("ogt"): NaN if one of them is."""
        first = self.compare(how, a, b)
        missing = self.compare("uno", a, a)
        return self.select(self.logic("or", first, missing), a, b)

    def logic(self, what: str, a: str, b: str) -> str:
        """and, or, xor of conditions."""
        return self._lines.let(f"{what} {self._t.many('i1')} {a}, {b}")

    def invert(self, a: str) -> str:
        true = f"<{', '.join(['i1 true'] * self._t.lanes)}>"
        return self.logic("xor", a, true)

    def as_number(self, condition: str) -> str:
        """1 where it holds, else 0."""
        return self.select(condition, self.number(1.0), self.number(0.0))

    def _bits(self, what: str, a: str, b: str) -> str:
        return self._lines.let(f"{what} {self._t.many(self._t.whole)} {a}, {b}")

    def _cast(self, a: str, whole: bool) -> str:
        kinds = self._t.vector, self._t.many(self._t.whole)
        return self._lines.let(f"bitcast {kinds[not whole]} {a} to {kinds[whole]}")

    def _whole(self, value: int) -> str:
        return f"<{', '.join([f'{self._t.whole} {value}'] * self._t.lanes)}>"

    def exp(self, a: str) -> str:
        size = self._t.itemsize
        low, high = map(self.number, _EXP_ENDS[size])
        x = self.select(self.compare("olt", a, low), low, a)
        x = self.select(self.compare("ogt", x, high), high, x)
        magic = self.number(_ROUND[size])
        shifted = self.fma(x, self.number(1.0 / math.log(2.0)), magic)
        n = self.two("fsub", shifted, magic)
        great, small = _LN2[size]
        r = self.fma(n, self.number(-great), x)
        r = self.fma(n, self.number(-small), r)
        p = self.number(1.0 / math.factorial(_TERMS[size]))
        for k in reversed(range(_TERMS[size])):
            p = self.fma(p, r, self.number(1.0 / math.factorial(k)))
        whole = self._bits("sub", self._cast(shifted, True), self._cast(magic, True))
        half = self._bits("ashr", whole, self._whole(1))
        for part in (half, self._bits("sub", whole, half)):
            biased = self._bits("add", part, self._whole(_BIAS[size]))
            p = self.two("fmul", p, self._cast(self._bits("shl", biased, self._whole(_MANTISSA[size])), False))
        return p

    def tanh(self, a: str) -> str:
        size = self._t.itemsize
        absolute = self.one("fabs", a)
        square = self.two("fmul", a, a)
        if size == 4:
            p = self._polynomial(square, _TANH_ODD)
            near = self.fma(self.two("fmul", p, square), a, a)
        else:
            quotient = self.two("fdiv", self._polynomial(square, _TANH_P), self._polynomial(square, _TANH_Q))
            near = self.fma(self.two("fmul", quotient, square), a, a)
        e = self.exp(self.two("fadd", absolute, absolute))
        far = self.two("fdiv", self.number(2.0), self.two("fadd", e, self.number(1.0)))
        far = self.two("fsub", self.number(1.0), far)
        v, found = self._t.vector, self.select(self.compare("olt", absolute, self.number(_TANH_NEAR)), near, far)
        return self._lines.call(f"llvm.copysign.{self._t.suffix}", v, f"{v} {found}", f"{v} {a}")

    def _polynomial(self, x: str, coefficients: tuple[float, ...]) -> str:
        p = self.number(coefficients[0])
        for c in coefficients[1:]:
            p = self.fma(p, x, self.number(c))
        return p
