"""Packages that are imported by what uses them, and missed at the start all the same.

Each command and each worker's leader imports every operation, and hardly any of them reads a PDF.
"""

from importlib.util import find_spec


def need(*names: str) -> None:
    """Raise ModuleNotFoundError where one is not installed: told at the start, not by each item."""
    for name in names:
        if find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
