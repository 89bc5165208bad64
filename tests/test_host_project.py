"""A host project needs the packages that the README tells it to install, and no other."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest
from django.conf import settings

NAME = re.compile(r"[A-Za-z0-9_-]+")


def named(text):
    return {found.group().lower() for found in map(NAME.match, text) if found}


@pytest.mark.slow
def test_bulkops_starts_with_the_packages_that_the_readme_names_and_django():
    line = re.search(r'pip install ("django-q2.*")', (settings.BASE_DIR / "README.md").read_text())
    told = named(re.findall(r'"([^"]+)"', line.group(1))) | {"django"}
    others = named((settings.BASE_DIR / "requirements.txt").read_text().splitlines()) - told
    assert {"httpx", "numpy", "pillow"} <= others
    absent = [
        module
        for module, owners in packages_distributions().items()
        if {owner.lower() for owner in owners} <= others and "/" not in module
    ]
    assert {"httpx", "numpy", "PIL"} <= set(absent)
    ran = subprocess.run(
        [sys.executable, "-m", "tests.host_project", *absent],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
