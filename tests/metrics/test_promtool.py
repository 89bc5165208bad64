"""Prometheus' own tool reads the rules, the dashboard's queries and a scrape, and plays the alerts through.

Skipped where `promtool` is not installed; Debian has it in the package `prometheus`.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.metrics.test_files import FILES, dashboard, rules

if TYPE_CHECKING:
    from pathlib import Path

PROMTOOL = shutil.which("promtool")
TESTS = "alerts_test.yml"

pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")


def promtool(*arguments: str, within: Path, given: str = "") -> str:
    """Run it; what it said, which a failure shows."""
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], cwd=within, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """With the rules and their tests side by side, as `rule_files` wants them."""
    shutil.copy(FILES / "alerts.yml", tmp_path)
    shutil.copy(request.path.parent / TESTS, tmp_path)
    return tmp_path


def test_each_alert_fires_when_it_should_and_not_when_all_is_well(folder):
    assert "SUCCESS" in promtool("test", "rules", TESTS, within=folder)
    cases = yaml.safe_load((folder / TESTS).read_text())["tests"]
    fired = {one["alertname"] for case in cases for one in case["alert_rule_test"] if one.get("exp_alerts")}
    quiet = {one["alertname"] for one in cases[0]["alert_rule_test"]}
    assert fired == quiet == {rule["alert"] for rule in rules()}


def test_the_rules_and_the_dashboards_queries_are_promql(tmp_path):
    asked = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    # Grafana puts these in before it asks.
    plain = [one.replace("$__rate_interval", "5m").replace("$operation", ".*") for one in asked]
    recorded = [{"record": f"panel:{number}", "expr": one} for number, one in enumerate(plain)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    assert f"{len(plain)} rules found" in promtool("check", "rules", "panels.yml", within=tmp_path)
    assert f"{len(rules())} rules found" in promtool("check", "rules", str(FILES / "alerts.yml"), within=tmp_path)


@pytest.mark.django_db(transaction=True)
def test_a_scrape_is_what_prometheus_reads_and_its_lint_finds_nothing(client, opened, labels, tmp_path):
    answer = client.get("/metrics", headers={"Authorization": opened})
    assert promtool("check", "metrics", within=tmp_path, given=answer.content.decode()).strip() == ""
