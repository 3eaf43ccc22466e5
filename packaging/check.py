"""Checks the wheel and the source distribution in a folder, and every way of installing them.

python packaging/check.py dist
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
LARGEST = 2_000_000
"""Bytes that the wheel may have."""

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
for cls in (nob.ipc.NamedSemaphore, nob.ipc.NamedSharedMemory, nob.ipc.NamedMessageQueue):
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
        strange = [name for name in names if not re.match(r"nob/|nob_py-[^/]+\.dist-info/", name)]
        assert not strange, f"{wheel.name} holds {strange}"
        [module] = [name for name in names if name.endswith(".so")]
        elf = ELFFile(BytesIO(archive.read(module)))
    assert elf.get_section_by_name(".symtab") is None, f"{module} is not stripped"
    needed = [tag.needed for tag in elf.get_section_by_name(".dynamic").iter_tags("DT_NEEDED")]
    strange = [library for library in needed if not LIBRARIES.fullmatch(library)]
    assert not strange, f"{module} needs {strange}"
    print(f"{wheel.name}: {size / 1e6:.1f} MB, stripped, needs {', '.join(needed)}", flush=True)


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
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, cwd=cwd, env=environment
    )
    return done.stdout


def main() -> None:
    folder = Path(sys.argv[1]).absolute()
    [wheel], [source] = folder.glob("*-cp311-abi3-*.whl"), folder.glob("*.tar.gz")
    [pure] = folder.glob("*-none-any.whl")
    expected = version()
    check_wheel(wheel, f"manylinux_2_34_{platform.machine()}")
    check_pure_wheel(pure)
    check_installation("of the wheel", [str(wheel)], expected)
    check_installation("of the sdist", [str(source)], expected)
    check_installation("'.[ipc]'", [f"{ROOT}[ipc]"], expected)
    check_installation("of a git URL", [f"nob.py @ git+{ROOT.as_uri()}"], expected)
    check_installation("--editable .", ["--editable", str(ROOT)], expected)


if __name__ == "__main__":
    main()
