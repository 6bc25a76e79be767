"""Text in LLVM's language -> a function of this machine."""

import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, final

from everygrad.engines.compiled.lines import Target

REQUIREMENT = "llvmlite"
_one_at_a_time = threading.Lock()


def installed() -> bool:
    """Whether the library that compiles is there."""
    import importlib.util

    return importlib.util.find_spec(REQUIREMENT) is not None


@cache
def _processor() -> tuple[Any, str, str]:
    """(what LLVM knows of this sort of machine, the processor's name, all instructions that it has)."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def _machine() -> Any:
    """A code generator: a new one for each function, since what holds the code takes it with it when it goes."""
    own, name, features = _processor()
    return own.create_target_machine(cpu=name, features=features, opt=3, jit=True)


@cache
def _builder() -> Any:
    """What makes code better: one for all functions, since its memory is never freed."""
    import llvmlite.binding as llvm

    options = llvm.create_pipeline_tuning_options(speed_level=1)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    return llvm.create_pass_builder(_machine(), options)


@cache
def target(itemsize: int) -> Target:
    """The vectors of this machine."""
    import llvmlite.binding as llvm

    has = llvm.get_host_cpu_features()
    if has.get("avx512f"):
        return Target(itemsize, 64 // itemsize, 32)
    if has.get("avx"):
        return Target(itemsize, 32 // itemsize, 16)
    return Target(itemsize, 16 // itemsize, 32 if has.get("neon") else 16)


@final
@dataclass(frozen=True, slots=True)
class MachineCode:
    """A function, and what keeps its code alive."""

    engine: Any
    function: Callable[[int | bytes, int, int], None]

    def __call__(self, table: int | bytes, rows: int, steps: int) -> None:
        self.function(table, rows, steps)


@lru_cache(maxsize=64)
def function_of(text: str, name: str) -> MachineCode:
    """The compiled function (address of a table, rows, steps); the same text is compiled once."""
    import llvmlite.binding as llvm

    machine = _machine()
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = llvm.get_default_triple(), str(machine.target_data)
    module.verify()
    with _one_at_a_time:
        _builder().getModulePassManager().run(module, _builder())
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    return MachineCode(engine, kind(engine.get_function_address(name)))
