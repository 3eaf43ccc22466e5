"""Makes the wheel for systems without the native module: Python alone, whose constructors refuse.

python packaging/pure.py dist
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]

BACKEND = """\
[build-system]
requires = ["hatchling>=1.27,<2"]
build-backend = "hatchling.build"
"""

PACKAGES = """
[tool.hatch.build.targets.wheel]
packages = ["nob"]
"""


def project() -> str:
    """The project's own metadata, with a build backend that compiles nothing."""
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))
    version = manifest["workspace"]["package"]["version"]
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    metadata = text[text.index("[project]") : text.index("[dependency-groups]")]
    metadata, count = re.subn(r'dynamic = \["version"\]', f'version = "{version}"', metadata)
    assert count == 1, "pyproject.toml no longer leaves the version to maturin"
    return BACKEND + metadata + PACKAGES


def main() -> None:
    target = Path(sys.argv[1]).absolute()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        native = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(ROOT / "python" / "nob", source / "nob", ignore=native)
        for name in ("README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        (source / "pyproject.toml").write_text(project(), encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--wheel-dir", str(target), folder], check=True)


if __name__ == "__main__":
    main()
