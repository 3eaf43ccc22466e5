"""Checks the wheel and the source distribution in a folder, and every way of installing them.

python packaging/check.py dist [MACHINE]

Of the wheel for another machine only what it holds can be checked.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from io import BytesIO
from pathlib import Path

from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).parents[1]
LARGEST = 3_600_000
"""Bytes that the wheel may have. Encrypted connections take about a million, in each program."""

MACHINES = {"x86_64": ("EM_X86_64", 4096), "aarch64": ("EM_AARCH64", 65536)}
"""For what processor a program is, and the largest pages that a kernel for it may have."""

EXPECTED = re.compile(r"nob/|nob_py-[^/]+\.(dist-info/|data/scripts/nob-ipc$)")
"""What may be in the wheel."""

LIBRARIES = re.compile(r"lib(c|m|gcc_s|pthread|dl|rt)\.so\.\d+|ld-linux.*")
"""What the module may be linked with: all are part of manylinux."""

USE = """
import importlib.metadata, sys
from nob.ipc import Flags, NamedMessageQueue
with NamedMessageQueue(None, handle_existence=Flags.RAISE_IF_EXISTS) as queue:
    queue.send("there")
    assert queue.receive() == (b"there", 0)
from nob import cli
print(importlib.metadata.version("nob.py"))
"""


REFUSED = """
import nob.ipc
classes = [getattr(nob.ipc, name) for name in nob.ipc.__all__ if name.startswith("Named")]
assert classes
for cls in classes:
    try:
        cls("/name")
    except NotImplementedError as error:
        assert str(error).startswith("The current OS does not provide a named "), error
    else:
        raise AssertionError(cls)
"""


def version() -> str:
    """The one place where it stands."""
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))
    text: str = manifest["workspace"]["package"]["version"]
    own = manifest["workspace"]["dependencies"]["nob-ipc"]["version"]
    assert own == text, f"the crate is {text}, and the others ask for {own}"
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text in changes, f"CHANGELOG.md does not mention {text}"
    return text


def check_wheel(wheel: Path, tag: str) -> None:
    """The tag, the size, and what is inside."""
    assert wheel.name.endswith(f"-cp311-abi3-{tag}.whl"), f"{wheel.name} is not tagged {tag}"
    size = wheel.stat().st_size
    assert size <= LARGEST, f"{wheel.name} has {size} bytes"
    audit = [sys.executable, "-m", "auditwheel", "show", str(wheel)]
    shown = subprocess.run(audit, check=True, capture_output=True, text=True).stdout
    assert f'platform tag: "{tag}"' in " ".join(shown.split()), shown
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        strange = [name for name in names if not EXPECTED.match(name)]
        assert not strange, f"{wheel.name} holds {strange}"
        [module] = [name for name in names if name.endswith(".so")]
        [command] = [name for name in names if name.endswith(".data/scripts/nob-ipc")]
        limit = tuple(map(int, re.findall(r"\d+", tag)[:2]))
        for name, pattern in ((module, r"_?Py\w+"), (command, "")):
            elf = ELFFile(BytesIO(archive.read(name)))
            check_program(name, elf, *MACHINES[tag.split("_", 3)[3]])
            # The unwinder of the process: see the Makefile.
            assert name == command or "libgcc_s.so.1" in libraries(elf), (
                f"{name} has its own unwinder"
            )
            newest = check_symbols(name, elf, limit, re.compile(pattern))
            needed = ", ".join(libraries(elf))
            print(f"{name}: stripped, needs {needed} of glibc {newest}", flush=True)
    print(f"{wheel.name}: {size / 1e6:.1f} MB", flush=True)


def check_program(name: str, elf: ELFFile, machine: str, page: int) -> None:
    """It can be loaded, is stripped, and linked with nothing but what every system has."""
    assert elf["e_machine"] == machine, f"{name} is for {elf['e_machine']}"
    loaded = [segment["p_align"] for segment in elf.iter_segments("PT_LOAD")]
    assert min(loaded) >= page, f"{name} needs pages of at most {min(loaded)} bytes"
    assert elf.get_section_by_name(".symtab") is None, f"{name} is not stripped"
    strange = [library for library in libraries(elf) if not LIBRARIES.fullmatch(library)]
    assert not strange, f"{name} needs {strange}"


def libraries(elf: ELFFile) -> list[str]:
    return [tag.needed for tag in elf.get_section_by_name(".dynamic").iter_tags("DT_NEEDED")]


def check_symbols(name: str, elf: ELFFile, limit: tuple[int, ...], free: re.Pattern[str]) -> str:
    """What it takes from outside, glibc has in that version, and the interpreter the rest.

    A linker that knows no version for a symbol leaves it without one. Such a module is tagged like
    any other, and cannot be loaded where nobody has the symbol.
    """
    numbers = elf.get_section_by_name(".gnu.version")
    versions = elf.get_section_by_name(".gnu.version_r")
    newest: tuple[int, ...] = (0,)
    for index, symbol in enumerate(elf.get_section_by_name(".dynsym").iter_symbols()):
        if symbol["st_shndx"] != "SHN_UNDEF" or not symbol.name:
            continue
        number = numbers.get_symbol(index)["ndx"]
        if isinstance(number, int):
            # The highest bit means "hidden".
            version = versions.get_version(number & 0x7FFF)[1].name
            if version.startswith("GLIBC_"):
                of_glibc = tuple(map(int, version.removeprefix("GLIBC_").split(".")))
                assert of_glibc <= limit, f"{name} needs {symbol.name} of {version}"
                newest = max(newest, of_glibc)
        elif symbol["st_info"]["bind"] != "STB_WEAK":
            # A weak symbol may be missing.
            assert free.fullmatch(symbol.name), f"{name} needs {symbol.name}, of no version"
    return ".".join(map(str, newest))


def check_pure_wheel(wheel: Path) -> None:
    """The wheel for other systems: it can be imported, and every constructor refuses."""
    assert wheel.name.endswith("-py3-none-any.whl"), wheel.name
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".so")]
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
        run([*pip, str(wheel)])
        run([sys.executable, "-c", REFUSED], cwd=folder)
    print(f"{wheel.name}: imports, and refuses", flush=True)


def check_installation(how: str, arguments: list[str], expected: str) -> None:
    """Installs into an environment of its own, and uses what is there."""
    with tempfile.TemporaryDirectory() as folder:
        programs = Path(folder, "bin")
        run([sys.executable, "-m", "venv", folder])
        run([programs / "python", "-m", "pip", "install", "--quiet", *arguments])
        assert run([programs / "python", "-c", USE], cwd=folder).strip() == expected
        assert run([programs / "nob-ipc", "--version"], cwd=folder).strip() == f"nob-ipc {expected}"
    print(f"pip install {how}: works", flush=True)


def run(command: list[str | Path], cwd: str | Path = ROOT) -> str:
    # What the tree has built serves the sdist, too.
    environment = os.environ | {"CARGO_TARGET_DIR": str(ROOT / "target")}
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, cwd=cwd, env=environment
    )
    return done.stdout


def main() -> None:
    folder = Path(sys.argv[1]).absolute()
    machine = sys.argv[2] if len(sys.argv) > 2 else platform.machine()
    [wheel] = folder.glob(f"*-cp311-abi3-*_{machine}.whl")
    expected = version()
    check_wheel(wheel, f"manylinux_2_28_{machine}")
    if machine != platform.machine():
        return
    [source], [pure] = folder.glob("*.tar.gz"), folder.glob("*-none-any.whl")
    check_pure_wheel(pure)
    check_installation("of the wheel", [str(wheel)], expected)
    check_installation("of the sdist", [str(source)], expected)
    check_installation("'.[ipc]'", [f"{ROOT}[ipc]"], expected)
    check_installation("of a git URL", [f"git+{ROOT.as_uri()}"], expected)
    check_installation("--editable .", ["--editable", str(ROOT)], expected)


if __name__ == "__main__":
    main()
