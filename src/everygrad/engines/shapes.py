"""Shapes in signatures: ``Inexact[Array, "batch out"]``, checked while the tests run.

jaxtyping is needed only for that. A user's program does not load it, and sees plain ``Array``.
"""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Inexact, Int, Shaped, UInt8
else:

    class _Unchecked:
        """``Kind[Array, "shape"]`` is ``Array``."""

        def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
            return item[0]

    Bool = Float = Inexact = Int = Shaped = UInt8 = _Unchecked

__all__ = ["Bool", "Float", "Inexact", "Int", "Shaped", "UInt8"]
