"""What `manage.py check` says in a process of its own: of packages that are absent, and operations that are wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest
from django.conf import settings as settings_of_django

from tests.clusters import environment

WITHOUT = """
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Without())
from project.settings import *
ROOT_URLCONF = "bulkops.web.urls"
INSTALLED_APPS = [app for app in INSTALLED_APPS if not app.startswith({off!r})]
"""


# The demo's own app calls its provider and draws tickets, and so needs packages for itself.
DEMO = ("ticketing", "payments", "project")


def check_without(tmp_path, absent, off=DEMO):
    """What `manage.py check` says where these modules are absent, and apps that begin so are off."""
    (tmp_path / "without_settings.py").write_text(WITHOUT.format(absent=absent, off=off))
    ran = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=settings_of_django.BASE_DIR,
        env={**environment(), "PYTHONPATH": str(tmp_path), "DJANGO_SETTINGS_MODULE": "without_settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stderr


@pytest.mark.slow
def test_without_the_apps_that_need_them_no_package_of_theirs_is_missed(tmp_path):
    absent = {"av", "numpy", "PIL", "pypdf", "httpcore", "httpx", "h11", "croniter"}
    assert "bulkops" not in check_without(tmp_path, absent, off=(*DEMO, "bulkops.contrib"))


@pytest.mark.parametrize(
    ("absent", "app"),
    [
        ("av", "files"),
        ("PIL", "files"),
        ("pypdf", "files"),
        ("httpcore", "http_calls"),
        ("httpx", "http_calls"),
        ("numpy", "vectors"),
    ],
)
@pytest.mark.slow
def test_of_a_missing_package_only_the_app_that_needs_it_complains(tmp_path, absent, app):
    said = check_without(tmp_path, {absent})
    assert said.count("(bulkops.W") == 1
    assert f"(bulkops.W021) App “bulkops.contrib.{app}” has no operations: the module “{absent}”" in said


WRONG = """
from bulkops import Operation, register

@register
class Charge(Operation):
    name = "charge"
    transactional = False
    in_doubt = "hold"
    durability = "relaxed"

    def process(self, item, params, context): ...
"""


@pytest.mark.slow
def test_a_wrong_declaration_is_told_by_check_in_words(tmp_path):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "operations.py").write_text(WRONG)
    (tmp_path / "shop_settings.py").write_text("from tests.settings import *\nINSTALLED_APPS += ['shop']\n")
    ran = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=settings_of_django.BASE_DIR,
        env={**environment(), "PYTHONPATH": str(tmp_path), "DJANGO_SETTINGS_MODULE": "shop_settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert '(bulkops.E014) shop.operations.Charge: `in_doubt = "hold"` needs `durability = "strict"`.' in ran.stderr
