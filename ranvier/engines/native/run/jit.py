"""From LLVM IR to machine code in memory.

`compile_object` makes an object file; `load` links object files into the process, through
LLVM's ORC JIT (MCJIT, the older one, crashes on undefined symbols and damaged objects). Each
loaded program has an ORC instance of its own: closing it returns all of its memory, while a
shared instance keeps about 10 KB of every program for good.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence
from threading import RLock
from typing import Any

from llvmlite import binding as llvm

from ranvier.engines.native.host import Host
from ranvier.errors import CompileError

PIPELINE_REVISION = 1
"""Part of every cache key: raise it when the passes or the target's options change."""

_lock = RLock()  # one compiler call at a time; llvmlite has one global lock anyway


def compile_object(module_text: str, host: Host) -> bytes:
    """Compile LLVM IR for `host` and return an object file.

    The IR is expected to hold vectors already; LLVM's own vectorizers stay off. Raises
    CompileError if the IR is not valid.
    """
    with _lock:
        machine = _machine(host)
        try:
            module = llvm.parse_assembly(module_text)
        except RuntimeError as error:
            raise CompileError(f"LLVM cannot read the program's IR: {error}") from None
        with module:
            module.name = hashlib.sha256(module_text.encode()).hexdigest()[:16]
            module.triple = host.triple
            module.data_layout = str(machine.target_data)
            try:
                module.verify()
            except RuntimeError as error:
                raise CompileError(f"the program's IR breaks LLVM's rules: {error}") from None
            _optimize(module, machine)
            return bytes(machine.emit_object(module))


def assembly(module_text: str, host: Host) -> str:
    """The assembly that `compile_object` would encode, for reading and for tests."""
    with _lock:
        machine = _machine(host)
        with llvm.parse_assembly(module_text) as module:
            module.triple = host.triple
            module.data_layout = str(machine.target_data)
            _optimize(module, machine)
            return str(machine.emit_assembly(module))


class Loaded:
    """Machine code in this process. Its addresses are valid until `close`, or its own end."""

    def __init__(self, jit: Any, library: Any, symbols: Sequence[str]) -> None:
        self._jit = jit
        self._library = library
        self._addresses: dict[str, int] = {name: library[name] for name in symbols}

    def address(self, name: str) -> int:
        """The address of an exported symbol."""
        if self._library is None:
            raise CompileError(f"{name} belongs to a program that has been closed")
        return self._addresses[name]

    def close(self) -> None:
        """Unload the code; nothing may be running in it. Closing twice does nothing."""
        with _lock:
            if self._library is not None:
                self._library.close()
                self._jit.close()
                self._library = self._jit = None

    def __enter__(self) -> Loaded:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # At the interpreter's end the module's globals may be gone; the memory goes anyway.
        if _lock is not None:
            self.close()


def load(objects: bytes | Sequence[bytes], symbols: Sequence[str]) -> Loaded:
    """Link object files and return the addresses of `symbols`.

    Undefined symbols are looked up in this process (the C and maths libraries among them).
    Raises CompileError if an object is damaged or a symbol is nowhere to be found.
    """
    builder = llvm.JITLibraryBuilder().add_current_process()
    for image in [objects] if isinstance(objects, bytes) else objects:
        builder.add_object_img(image)
    for name in symbols:
        builder.export_symbol(name)
    with _lock:
        jit = llvm.create_lljit_compiler(_own_machine(), use_jit_link=True, suppress_errors=True)
        try:
            library = builder.link(jit, "program")
        except RuntimeError as error:
            jit.close()
            raise CompileError(
                f"a compiled program cannot be loaded ({error}); it is damaged or calls a "
                f"function that this process does not have; delete the cache folder and retry"
            ) from None
        return Loaded(jit, library, symbols)


def _optimize(module: Any, machine: Any) -> None:
    """Run a few of LLVM's passes over `module`, in place.

    Emitted IR has its final loops and vectors; what is left is to promote stack slots, fold
    address arithmetic and simplify branches. LLVM's own pipelines take five times as
    long for the same loops, and llvmlite loses 45 KB of memory with each one that it runs.
    """
    with (
        llvm.create_pipeline_tuning_options(speed_level=1) as options,
        llvm.create_pass_builder(machine, options) as builder,
        llvm.create_new_module_pass_manager() as passes,
    ):
        passes.add_always_inliner_pass()
        passes.add_sroa_pass()
        passes.add_instruction_combine_pass()
        passes.add_simplify_cfg_pass()
        passes.run(module, builder)


@functools.cache
def _machine(host: Host) -> Any:
    """LLVM's code generator for `host`."""
    own = host.triple == llvm.get_process_triple()
    if own:
        _initialize_own()
    else:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    return llvm.Target.from_triple(host.triple).create_target_machine(
        cpu=host.cpu, features=host.features, opt=2, reloc="pic", codemodel="default"
    )


@functools.cache
def _own_machine() -> Any:
    """The code generator that a linker needs in order to know this process's object format."""
    _initialize_own()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        reloc="pic", codemodel="default"
    )


@functools.cache
def _initialize_own() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


# A child forked while another thread compiles would inherit LLVM's and our lock for ever held.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )
