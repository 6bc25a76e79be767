"""Symbolic tracing of a module by torch.fx, with the user's line at each operation."""

import inspect
import linecache
import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, final

import torch
from torch import fx, nn

from everygrad.adapters.torch_parts import is_torchs_own, known_kind, shown, tampered
from everygrad.adapters.traced.values import Refused

_NOT_THE_USERS = {"", "torch", "everygrad", "jaxtyping", "beartype"}  # the last two may check our own annotations
_ADVICE = (
    "a module is traced without data, so its forward must be the same for all: no if or while that depends on a "
    "tensor, no loop over its steps (nn.RNN, nn.LSTM and nn.GRU make it)"
)
_PACKING = {"pack_padded_sequence", "pad_packed_sequence", "pack_sequence"}
_PACKED = (
    "packed sequences are not read: leave the packing out for sequences of one length; eg.Recurrent takes lengths, and "
    "eg.watch sees the inside of this model as it is"
)


@final
@dataclass(frozen=True, slots=True)
class Traced:
    """What tracing gave: torch.fx's nodes, the tensors that they name, and what was found wrong on the way."""

    nodes: tuple[fx.Node, ...]
    held: Mapping[str, Any]
    problems: tuple[str, ...]


def trace(model: nn.Module) -> Traced:
    """Trace a model's forward, arguments with a default at their default. The model is left as it was.

    Parts of torch's own are not looked into. Where tracing fails, what came before is there, with the problem.
    """
    tracer = _Tracer()
    before = {m: dict(vars(m)) for m in model.modules()}
    problems = []
    try:
        with torch.enable_grad():
            tracer.trace(model)
    except RecursionError:
        problems.append("the model: its modules are nested too deeply to be traced")
    except Exception as error:  # whatever the user's forward does with what is no tensor
        problems.append(_said(error))
    nodes = tuple(tracer.graph.nodes)
    held = {str(node.target): _attribute(model, str(node.target)) for node in nodes if node.op == "get_attr"}
    return Traced(nodes, held, (*problems, *tracer.problems, *_restored(before, model)))


def place(node: fx.Node) -> tuple[str, str]:
    """(path of the module, the user's file and line or nothing) of a traced operation."""
    return node.meta["place"]


def problem(path: str, what: str, text: str, line: str) -> str:
    """One problem with its place."""
    return ": ".join(filter(None, (path or "the model", what, text))) + (f" ({line})" if line else "")


def _said(error: Exception) -> str:
    line, functions = "", set()
    for frame, number in _frames_of(error.__traceback__):
        functions.add(frame.f_code.co_name)
        if _is_users(frame):
            line = f"{frame.f_code.co_filename}:{number}"
    if isinstance(error, Refused):
        text = str(error)
    elif functions & _PACKING:
        text = _PACKED
    else:
        first = (str(error).splitlines() or [""])[0].partition(". ")[0].removesuffix(".")
        text = f"torch.fx cannot trace it, {type(error).__name__}: {first}; {_ADVICE}"
    return problem("", "forward", text, line)


def _frames_of(traceback: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _attribute(model: nn.Module, target: str) -> Any:
    found: Any = model
    for name in target.split("."):
        found = getattr(found, name)
    return found


def _restored(before: Mapping[nn.Module, dict[str, Any]], model: nn.Module) -> list[str]:
    """Undo what forward set on its modules, and say so: a network of ours keeps nothing between calls."""
    problems = []
    paths = {m: name for name, m in model.named_modules()}
    for m, old in before.items():
        now = vars(m)
        changed = [name for name in now if name not in old or now[name] is not old[name]]
        for name in changed:
            if not name.startswith("_tensor_constant"):  # where torch.fx keeps numbers that were made on the way
                text = f"forward sets self.{name}, but a network keeps nothing between calls: use a local variable"
                problems.append(problem(paths.get(m, ""), type(m).__name__, text, ""))
        if changed or len(now) != len(old):
            now.clear()
            now.update(old)
    return problems


def _in_place(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, other: self.tracer.create_proxy("call_function", function, (self, other), {})


@final
class _Proxy(fx.Proxy):
    """Also knows ``x += y``, which torch does in place."""

    __iadd__ = _in_place(operator.iadd)
    __isub__ = _in_place(operator.isub)
    __imul__ = _in_place(operator.imul)
    __itruediv__ = _in_place(operator.itruediv)


@final
class _Tracer(fx.Tracer):
    """Stops at torch's own modules, and notes where each operation is written."""

    def __init__(self) -> None:
        super().__init__()
        self.graph = fx.Graph()  # there even if nothing can be traced
        self.problems: dict[str, None] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        sequence = isinstance(m, nn.Sequential) and type(m).forward is nn.Sequential.forward
        return not sequence and (is_torchs_own(m) or known_kind(m) is not None)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        path = self.path_of_module(m)
        if not self.is_leaf_module(m, path) and self.look_at(m, path):
            forward = m.forward  # without its hooks
        return super().call_module(m, forward, args, kwargs)

    def look_at(self, m: nn.Module, path: str) -> bool:
        """Note what may make a module that is traced compute something else; whether there is anything."""
        found = tampered(m)
        self.problems.update({problem(path, shown(m), text, ""): None for text in found})
        return bool(found)

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        assert isinstance(self.root, nn.Module)
        self.look_at(self.root, "")
        args: list[Any] = [self.root]
        by_name = {}
        for parameter in list(inspect.signature(inspect.unwrap(root_fn)).parameters.values())[1:]:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise Refused(f"forward({parameter}): its arguments must be named one by one")
            given = parameter.default
            if given is parameter.empty:
                given = self.create_proxy("placeholder", parameter.name, (), {})
            if parameter.kind == parameter.KEYWORD_ONLY:
                by_name[parameter.name] = given
            else:
                args.append(given)
        return lambda *positional: root_fn(*positional, **by_name), args

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        frames = list(_frames_to(sys._getframe(1)))
        line = next((f"{f.f_code.co_filename}:{f.f_lineno}" for f in frames if _is_users(f)), "")
        node.meta["place"] = self.scope.module_path, line
        for text in _unseen(frames):
            self.problems[problem(self.scope.module_path, "", text, line)] = None
        return node

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """What is asserted holds, since nothing is computed here."""
        for frame in _frames_to(sys._getframe(1)):
            if _is_users(frame):
                if linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip().startswith("assert "):
                    return True
                break
        return super().to_bool(obj)


def _frames_to(frame: FrameType | None) -> Iterator[FrameType]:
    """The frames from the innermost out to `trace`."""
    while frame is not None and (frame.f_code.co_name, frame.f_globals.get("__name__")) != ("trace", __name__):
        yield frame
        frame = frame.f_back


def _is_users(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__", "").partition(".")[0] not in _NOT_THE_USERS


def _unseen(frames: list[FrameType]) -> Iterator[str]:
    """What is around an operation and changes its value or gradient, but leaves no trace."""
    if not torch.is_grad_enabled():
        yield "under torch.no_grad(), which stops the gradient: here it is not stopped, leave it out"
    if any(torch.is_autocast_enabled(device) for device in ("cpu", "cuda")):
        yield "under torch.autocast, which changes the dtype: leave it out"
    apply = getattr(torch.autograd.Function.apply, "__func__", None)
    if any(frame.f_code is getattr(apply, "__code__", None) for frame in frames):
        yield "in a torch.autograd.Function, whose backward may be another one: write it with torch's functions"
