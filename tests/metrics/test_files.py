"""Dashboard, alert rules and the guide name metrics and labels that there are, and all of them."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "bulkops/contrib/observability"
NAME = re.compile(r"\bbulkops_[a-z_]+\b")
OF_A_HISTOGRAM = {"le"}


def rules() -> list[dict]:
    (group,) = yaml.safe_load((FILES / "alerts.yml").read_text())["groups"]
    return group["rules"]


def dashboard() -> dict:
    return json.loads((FILES / "dashboard.json").read_text())


def queries() -> list[str]:
    asked = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    asked += [one["query"] for one in dashboard()["templating"]["list"] if one["type"] == "query"]
    return asked + [rule["expr"] for rule in rules()]


def test_every_metric_and_label_in_dashboard_and_alerts_exists(labels):
    assert len(queries()) > 40
    for query in queries():
        names = set(NAME.findall(query))
        assert names, query
        assert names <= labels.keys(), query
        known = set().union(*(labels[name] for name in names))
        grouped = re.findall(r"\bby \(([^)]*)\)", query)
        selected = re.findall(r"[{,]\s*([a-z_]+)=", query) + re.findall(r"label_values\(\w+, (\w+)\)", query)
        used = {one.strip() for group in grouped for one in group.split(",")} | set(selected)
        assert used <= known, query


def test_a_query_is_well_formed():
    for query in queries():
        for opening, closing in ("()", "{}", "[]"):
            assert query.count(opening) == query.count(closing), query
        # What only grows says nothing as it is: but in `rate` or `increase` it is the site's age.
        for name in re.findall(r"\bbulkops_[a-z_]+_(?:total|bucket|count|sum)\b", query):
            assert re.search(rf"(rate|increase|label_values)\({name}", query), query


def test_every_metric_is_on_the_dashboard(labels):
    shown = {name for query in queries() for name in NAME.findall(query)}
    families = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in labels}
    assert families == {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown}


def test_what_an_operator_must_know_of_has_an_alert():
    named = {rule["alert"] for rule in rules()}
    assert len(named) == len(rules())
    for what in ("NoWorker", "JobsWait", "ItemsFail", "JobsStalled", "RescueStorm", "WebhooksFail"):
        assert f"Bulkops{what}" in named
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            assert re.search(rf"by \([^)]*\b{label}\b", rule["expr"]), rule["alert"]


def test_panels_lie_side_by_side():
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


def test_the_guide_lists_every_metric_with_its_labels(labels):
    guide = (ROOT / "bulkops/docs/observability.md").read_text()
    told = {
        name: {one.strip() for one in of.split(",") if one.strip()}
        for name, of in re.findall(r"^\| `(bulkops_[a-z_]+)` \|([^|]*)\|", guide, re.MULTILINE)
    }
    known: dict[str, set[str]] = {}
    for name, of in labels.items():
        known.setdefault(re.sub(r"_(bucket|count|sum|created)$", "", name), set()).update(of - OF_A_HISTOGRAM)
    assert told == known
