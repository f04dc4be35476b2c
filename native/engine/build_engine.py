"""Describes the native library to cffi: its interface is the header's, its sources are `csrc`."""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

# Setuptools wants the names of sources relative to `setup.py`, where it runs.
CSRC = Path("csrc")
HEADER = CSRC / "covet_engine.h"
BEGIN, END = "/* cffi: begin */", "/* cffi: end */"


def interface(header: str) -> str:
    """The declarations between the marks, which are all that Python sees."""
    _, begin, rest = header.partition(BEGIN)
    declarations, end, _ = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{HEADER} has lost its marks {BEGIN!r} and {END!r}.")
    return declarations


ffibuilder = FFI()
ffibuilder.cdef(interface(HEADER.read_text("utf-8")))
ffibuilder.set_source(
    "covet_engine._native",
    f'#include "{HEADER.name}"',
    sources=sorted(map(str, CSRC.glob("*.c"))),
    depends=[__file__, *sorted(map(str, CSRC.glob("*.h")))],
    include_dirs=[str(CSRC)],
    # Nothing that depends on this machine's processor: what it can do is found out at run time.
    extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden"],
    # One file for every Python from 3.11 on; `setup.py` names the wheel accordingly.
    py_limited_api=True,
)
