"""Which modules of a model are watched, and the models that cannot be."""

import torch
from torch import nn

from everygrad.adapters.watched.layer import Layer
from everygrad.adapters.watched.plain import is_plain
from everygrad.adapters.watched.recorder import Recorder
from everygrad.adapters.watched.setting import family
from everygrad.errors import InputError, UnsupportedError, all_mismatches


def layers_of(model: object, recorder: Recorder) -> tuple[Layer, ...]:
    """The recurrent, Linear and activation modules of a model, in its order; one that has several names once.

    Raises `InputError` for what is no module or has none of them, `UnsupportedError` for what hides its modules.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"watch takes a torch.nn.Module, got {type(model).__name__}")
    modules: dict[int, nn.Module] = {}
    names: dict[int, list[str]] = {}
    problems: dict[int, str] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        shown = name or type(model).__name__
        modules[id(module)] = module
        names.setdefault(id(module), []).append(shown)
        problem = _hidden(module)
        if problem:
            problems.setdefault(id(module), f"{name or 'the model'}: {type(module).__name__}: {problem}")
    all_mismatches("what happens inside cannot be watched", list(problems.values()), UnsupportedError)
    found = {key: module for key, module in modules.items() if is_recurrent(module) or is_plain(module)}
    if not found:
        raise InputError(
            f"nothing to watch: {type(model).__name__} has no nn.RNN, nn.LSTM or nn.GRU (or their cells), no nn.Linear "
            "and no activation module"
        )
    return tuple(Layer(tuple(names[key]), module, recorder) for key, module in found.items())


def is_recurrent(module: nn.Module) -> bool:
    """Whether it is an nn.RNN, nn.LSTM, nn.GRU or one of their cells (or a subclass)."""
    return family(module) is not None


def _hidden(module: nn.Module) -> str:
    """Why the calls of a module's parts are not seen; "" if they are."""
    if isinstance(module, torch.jit.ScriptModule):
        return "compiled by torch.jit: watch the module that it was made from"
    if type(module).__name__ == "OptimizedModule":
        return "compiled by torch.compile: watch and call the module that it was made from, compiled._orig_mod"
    if getattr(module, "_compiled_call_impl", None) is not None:
        return "compiled by its method compile(): watch a copy made before it"
    if isinstance(module, nn.DataParallel):
        return "it calls copies of the module in threads: watch and call model.module"
    if isinstance(module, nn.parallel.DistributedDataParallel):
        return "watch model.module: what is seen there is this process's part"
    return ""
