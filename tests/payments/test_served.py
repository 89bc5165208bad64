"""The provider is part of development's site only."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from project.settings import _provider_url

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, os, sys
sys.path[:0] = [".", "site"]
os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
import django
django.setup()
from django.apps import apps
from django.conf import settings
from django.urls import Resolver404, resolve
from bulkops import InvalidParams, registry
try:
    served = resolve("/payments/refunds/").url_name == "refunds"
except Resolver404:
    served = False
try:
    registry.get("refund-orders").clean_params({"reason": "x"})
    said = ""
except InvalidParams as error:
    said = error.message
print(json.dumps([served, apps.is_installed("payments"), settings.PROVIDER_URL, settings.PROVIDER_KEY, said]))
"""


def site_under(**words):
    """What a process of that environment serves and calls."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "BULKOPS_POSTGRES_HOME") if name in os.environ}
    words = {"SECRET_KEY": secrets.token_urlsafe(50), "DATABASE_URL": "postgres://a:b@127.0.0.1:1/c"} | words
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, env=kept | words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_deployment_neither_serves_it_nor_has_its_tables_nor_calls_anybody():
    served, installed, url, key, said = site_under()
    assert (served, installed, url, key) == (False, False, "", "")
    assert "BULKOPS_DEMO_PROVIDER_URL" in said


@pytest.mark.slow
def test_a_deployment_that_names_a_provider_calls_that_one():
    served, installed, url, key, said = site_under(
        BULKOPS_DEMO_PROVIDER_URL="https://pay.example.org/v1", BULKOPS_DEMO_PROVIDER_KEY="hush"
    )
    assert (served, installed, said) == (False, False, "")
    assert (url, key) == ("https://pay.example.org/v1/", "hush")


@pytest.mark.slow
def test_development_serves_it_on_its_own_port():
    served, installed, url, key, said = site_under(DEBUG="1", PORT="8123")
    assert (served, installed, url, said) == (True, True, "http://127.0.0.1:8123/payments/", "")
    assert len(key) == 64


@pytest.mark.slow
def test_another_provider_in_development_is_not_told_the_sites_own_key():
    served, _, url, key, _ = site_under(DEBUG="1", BULKOPS_DEMO_PROVIDER_URL="http://pay.example.org/")
    assert (served, url, key) == (False, "http://pay.example.org/", "")


@pytest.mark.parametrize(
    "url", ["ftp://pay.example.org/", "pay.example.org", "http://", "http://a:hush@b/", "http://h:x/", "http://h/?a=1"]
)
def test_an_address_that_makes_no_sense_is_refused_without_repeating_it(url):
    with pytest.raises(ImproperlyConfigured, match="BULKOPS_DEMO_PROVIDER_URL must look like") as caught:
        _provider_url(url)
    assert "hush" not in str(caught.value)
