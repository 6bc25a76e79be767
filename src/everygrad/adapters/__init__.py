"""Models from elsewhere: ``from_torch(module)`` and ``from_sklearn(estimator)`` give (network, parameters).

``watch(module)`` looks into a model of torch while it stays what it is. ``ReportWidget(report)`` is a Jupyter widget.

Each library is loaded when its adapter is asked for, not before.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from everygrad.adapters.notebook import ReportWidget
    from everygrad.adapters.scikit import from_sklearn
    from everygrad.adapters.torch_module import from_torch
    from everygrad.adapters.torch_watch import watch

__all__ = ["ReportWidget", "from_sklearn", "from_torch", "watch"]

_HOMES = {
    "ReportWidget": "everygrad.adapters.notebook",
    "from_sklearn": "everygrad.adapters.scikit",
    "from_torch": "everygrad.adapters.torch_module",
    "watch": "everygrad.adapters.torch_watch",
}
_LIBRARIES = {"ReportWidget": "anywidget", "from_sklearn": "sklearn", "from_torch": "torch", "watch": "torch"}
_EXTRAS = {"anywidget": "jupyter"}  # the others are called as their library


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    library = _LIBRARIES[name]
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name != library:
            raise
        extra = _EXTRAS.get(library, library)
        text = f"{name} needs {library}, which is not installed: pip install 'everygrad[{extra}]'"
        raise ModuleNotFoundError(text, name=library) from error
