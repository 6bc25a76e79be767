"""Models from elsewhere: ``from_torch(module)`` and ``from_sklearn(estimator)`` give (network, parameters).

``watch(module)`` looks into a model of torch while it stays what it is.

Each library is loaded when its adapter is asked for, not before.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from everygrad.adapters.scikit import from_sklearn
    from everygrad.adapters.torch_module import from_torch
    from everygrad.adapters.torch_watch import watch

__all__ = ["from_sklearn", "from_torch", "watch"]

_HOMES = {
    "from_sklearn": "everygrad.adapters.scikit",
    "from_torch": "everygrad.adapters.torch_module",
    "watch": "everygrad.adapters.torch_watch",
}
_LIBRARIES = {"from_sklearn": "sklearn", "from_torch": "torch", "watch": "torch"}  # each is also the name of the extra


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    library = _LIBRARIES[name]
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name != library:
            raise
        text = f"{name} needs {library}, which is not installed: pip install 'everygrad[{library}]'"
        raise ModuleNotFoundError(text, name=library) from error
