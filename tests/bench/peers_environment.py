"""The environment that other systems are installed in, apart from the project's own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.bench.database import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ROOT / ".bulkops" / "bench-peers"
WANTED = ROOT / "tests" / "bench" / "requirements.txt"


def python() -> Path | None:
    """Its Python; None where nobody has made it."""
    found = FOLDER / "bin" / "python"
    return found if found.exists() else None


def install() -> None:
    """Make it, or bring it up to date. Raises CalledProcessError."""
    subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
    subprocess.run([str(FOLDER / "bin" / "python"), "-m", "pip", "install", "-q", "-r", str(WANTED)], check=True)
