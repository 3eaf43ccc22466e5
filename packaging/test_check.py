"""Tests of what the check of the wheel refuses, on small wheels that zig links.

python packaging/test_check.py
"""

from __future__ import annotations

import contextlib
import io
import platform
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

import check

MACHINE = platform.machine()
OTHER = next(machine for machine in check.MACHINES if machine != MACHINE)
TAG = f"manylinux_2_28_{MACHINE}"

# `fcntl64` came with glibc 2.28, so the wheel is of that version, and of no earlier one.
SOURCE = """
#define _FILE_OFFSET_BITS 64
#include <fcntl.h>
int of_the_system(int fd) { return fcntl(fd, F_GETFD); }
"""
ENTRY = "void *PyInit__native(void) { return 0; }"
NOBODYS = "int nobody_has_this(void); int strange(void) { return nobody_has_this(); }"
INTERPRETERS = "int PyErr_CheckSignals(void); int known(void) { return PyErr_CheckSignals(); }"
OPTIONAL = (
    "__attribute__((weak)) int perhaps(void); int either(void) { return perhaps ? perhaps() : 0; }"
)


class TestCheck(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def program(self, *more: str, machine: str = MACHINE, arguments: tuple[str, ...] = ()) -> Path:
        """Something that can be loaded."""
        number = len(list(self.folder.iterdir()))
        source, output = self.folder / f"{number}.c", self.folder / f"{number}.so"
        source.write_text("\n".join([SOURCE, *more]), encoding="utf-8")
        zig = [sys.executable, "-m", "ziglang", "cc", "-target", f"{machine}-linux-gnu.2.28"]
        options = ["-shared", "-s", "-fPIC", *arguments]
        subprocess.run([*zig, *options, "-o", str(output), str(source)], check=True)
        return output

    def module(self, *more: str, machine: str = MACHINE) -> Path:
        """One that is linked with the unwinder of the process, or what has its name."""
        unwinder = self.folder / "libgcc_s.so.1"
        named = ("-Wl,-soname,libgcc_s.so.1",)
        shutil.copy(self.program(machine=machine, arguments=named), unwinder)
        needed = ("-Wl,--no-as-needed", str(unwinder))
        return self.program(ENTRY, *more, machine=machine, arguments=needed)

    def refusal(self, module: Path, command: Path) -> str:
        """Why a wheel of these is refused; nothing if it is not."""
        wheel = self.folder / f"nob_py-2.0.0-cp311-abi3-{TAG}.whl"
        info = "nob_py-2.0.0.dist-info"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.write(module, "nob/ipc/_native.abi3.so")
            archive.write(command, "nob_py-2.0.0.data/scripts/nob-ipc")
            lines = ["Wheel-Version: 1.0", "Root-Is-Purelib: false", f"Tag: cp311-abi3-{TAG}"]
            archive.writestr(f"{info}/WHEEL", "\n".join([*lines, ""]))
            archive.writestr(f"{info}/METADATA", "Name: nob.py\nVersion: 2.0.0\n")
            record = [*archive.namelist(), f"{info}/RECORD"]
            archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in record))
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                check.check_wheel(wheel, TAG)
        except AssertionError as error:
            return str(error)
        return ""

    def test_what_a_wheel_may_need(self) -> None:
        assert self.refusal(self.module(INTERPRETERS, OPTIONAL), self.program(OPTIONAL)) == ""

    def test_a_symbol_that_nobody_has(self) -> None:
        said = "needs nobody_has_this, of no version"
        assert said in self.refusal(self.module(NOBODYS), self.program())
        assert said in self.refusal(self.module(), self.program(NOBODYS))

    def test_the_command_has_no_interpreter(self) -> None:
        why = self.refusal(self.module(), self.program(INTERPRETERS))
        assert "nob-ipc needs PyErr_CheckSignals" in why

    def test_an_unwinder_of_its_own(self) -> None:
        assert "has its own unwinder" in self.refusal(self.program(), self.program())

    def test_a_program_for_another_processor(self) -> None:
        why = self.refusal(self.module(), self.program(machine=OTHER))
        assert f"is for {check.MACHINES[OTHER][0]}" in why, why

    def test_pages_that_are_too_small(self) -> None:
        small = self.program(arguments=("-Wl,-z,max-page-size=512",))
        assert "needs pages of at most 512 bytes" in self.refusal(self.module(), small)


if __name__ == "__main__":
    unittest.main()
