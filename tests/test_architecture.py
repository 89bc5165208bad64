"""The shape of the code: imports point down, modules say what they own and stay small, and rules have one keeper."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "bulkops"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts)
SITE = sorted(path for path in (ROOT / "site").rglob("*.py") if "migrations" not in path.parts)

# From the bottom up. A module may import what stands below its own line, and its own package.
LAYERS = (
    {"states", "exceptions", "conf", "clock", "cutting", "job_ids", "storable", "outage", "prepared", "signals"},
    {"kept_uploads", "estimate", "histograms", "json_lines", "packages"},
    {"attempts", "bounded_uploads", "fingerprints", "refusals", "tallies", "tokens", "visitors"},
    {"outbound", "file_types", "stored_files"},
    {"result_files", "uploaded_files", "webhooks"},
    {"operation", "inputs", "manifests", "idempotency", "fields", "sources"},
    {"declaration"},
    {"registry", "querysets"},
    {"models"},
    {"events", "permissions", "liveness", "verify", "failures", "failure_groups", "permits", "batches"},
    {"latencies", "pace", "queueing", "totals", "workforce"},
    {"transitions"},
    {"dispatch", "doubt", "lineage"},
    {"holds", "wording"},
    {"progress", "diagnosis"},
    {"status", "report", "snapshots", "item_values", "what_failed", "ledger_pages", "lookahead"},
    {"services", "engine"},
    {"cluster", "checks", "retention", "dry_run", "testing", "scheduling"},
    {"web", "api", "admin", "admin_actions", "management", "metrics"},
    {"templatetags", "apps", "contrib"},
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
FACES = LAYERS[-1] | LAYERS[-2]
LINES_OF_A_MODULE = 400
LINES_OF_A_FUNCTION = 50


def name_of(path):
    """“services”, “engine.runner”; empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@cache
def tree_of(path):
    return ast.parse(path.read_text(), filename=str(path))


class Imports(ast.NodeVisitor):
    """Names that a module imports when it runs, and whether it does so only once it is called."""

    def __init__(self):
        self.found = []
        self._depth = 0

    def visit_If(self, node):
        """What only the type checker sees binds nothing."""
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for other in node.orelse:
                self.visit(other)
        else:
            self.generic_visit(node)

    def visit_FunctionDef(self, node):
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    def visit_Import(self, node):
        self.found += [(alias.name, self._depth > 0) for alias in node.names]

    def visit_ImportFrom(self, node):
        self.found += [(f"{node.module}.{alias.name}", self._depth > 0) for alias in node.names]


@cache
def imports_of(path):
    visitor = Imports()
    visitor.visit(tree_of(path))
    return visitor.found


def part_of(imported):
    """The module or package directly below bulkops that an import names; None for others."""
    top, _, rest = imported.partition(".")
    return rest.split(".")[0] if top == "bulkops" else None


def broken(rule, paths=MODULES):
    """What the rule objects to, module by module."""
    found = {str(path.relative_to(ROOT)): rule(path) for path in paths}
    return {name: objections for name, objections in found.items() if objections}


def test_every_module_has_a_place_in_the_layers():
    parts = {name_of(path).split(".")[0] for path in MODULES} - {""}
    assert parts - set(RANK) == set(), "say in LAYERS what these may import"


def test_imports_point_down():
    def upward(path):
        me = name_of(path).split(".")[0]
        if me in {"", "apps"}:
            return []  # the front door and the start-up; both import late
        parts = {imported: part_of(imported) for imported, _ in imports_of(path)}
        return [imported for imported, part in parts.items() if part not in {None, me} and RANK[part] >= RANK[me]]

    assert broken(upward) == {}


def test_the_front_door_imports_no_models():
    at_once = {part_of(imported) for imported, late in imports_of(PACKAGE / "__init__.py") if not late}
    assert at_once - {None} == {"exceptions", "operation", "registry"}


def test_imports_stand_at_the_top():
    def late_ones(path):
        allowed = name_of(path) in {"", "apps"}
        return [] if allowed else [imported for imported, late in imports_of(path) if late and part_of(imported)]

    assert broken(late_ones) == {}


def test_services_and_engine_meet_only_in_the_tables():
    def strangers(path):
        me = name_of(path).split(".")[0]
        parts = {part_of(imported) for imported, _ in imports_of(path)} - {None}
        if me == "services":
            return parts & {"engine", "cluster"}
        if me in {"engine", "cluster"}:
            return parts & ({"services"} | FACES)
        # `qcluster` starts a cluster; no other face touches what works.
        return parts & {"engine", "cluster"} if me in FACES and "qcluster" not in path.name else set()

    assert broken(strangers) == {}


def test_only_dispatch_and_the_cluster_know_the_queue():
    def uses(path):
        if name_of(path).split(".")[0] in {"dispatch", "scheduling", "cluster"}:
            return []
        return [imported for imported, _ in imports_of(path) if imported.startswith("django_q")]

    assert broken(uses) == {}


def test_nothing_in_bulkops_knows_the_project():
    def knows(path):
        return [name for name, _ in imports_of(path) if name.split(".")[0] in {"project", "ticketing", "tests"}]

    assert broken(knows) == {}


def test_nothing_in_bulkops_reads_the_environment():
    assert broken(lambda path: re.findall(r"\bos\.environ\b|\bgetenv\b", path.read_text())) == {}


def test_settings_are_read_in_conf_and_judged_in_checks():
    """Models name the user model there, and the pages the log-in's address, which is Django's own way."""
    readers = {name_of(path) for path in MODULES if ("django.conf.settings", False) in imports_of(path)}
    readers = {name for name in readers if not name.startswith("web.")}
    assert {name.split(".")[-1] for name in readers} <= {"conf", "checks", "models", "idempotency", "tokens"}


def test_only_transitions_writes_a_jobs_state():
    def writes(path):
        return (
            []
            if name_of(path) == "transitions"
            else [line for node in ast.walk(tree_of(path)) for line in _writes(node)]
        )

    assert broken(writes) == {}


def _writes(node):
    """The line, if the node could write a job's state: an assignment, a query, a save, or SQL."""
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [node.lineno for target in targets if isinstance(target, ast.Attribute) and target.attr == "state"]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        verb, named = node.func.attr, {keyword.arg for keyword in node.keywords}
        of_an_outcome = ast.unparse(node.func).startswith(("Outcome.", "Delivery."))
        if verb in {"update", "create", "get_or_create", "update_or_create"} and "state" in named and not of_an_outcome:
            return [node.lineno]
        if verb in {"save", "bulk_update"} and "'state'" in ast.unparse(node):
            return [node.lineno]
    if (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.search(r"UPDATE\s+bulkops_job\b", node.value)
    ):
        return [node.lineno]
    return []


def test_rows_are_locked_by_their_keepers_only():
    keepers = {"doubt", "services.locking", "transitions", "engine.casualties", "engine.turns", "retention"}
    keepers |= {"webhooks.claiming", "webhooks.recording", "webhooks.registering"}
    assert broken(lambda path: "select_for_update" in path.read_text() and name_of(path) not in keepers) == {}


def test_every_module_says_what_it_owns():
    assert broken(lambda path: tree_of(path).body and not ast.get_docstring(tree_of(path)), [*MODULES, *SITE]) == {}


def test_modules_stay_small():
    assert broken(lambda path: len(path.read_text().splitlines()) > LINES_OF_A_MODULE, [*MODULES, *SITE]) == {}


def test_functions_stay_small():
    def long_ones(path):
        functions = [
            node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        return [one.name for one in functions if one.end_lineno - one.lineno >= LINES_OF_A_FUNCTION]

    assert broken(long_ones, [*MODULES, *SITE]) == {}


def test_modules_are_named_after_what_they_own():
    vague = {"utils", "helpers", "common", "misc", "mixins", "tools"}
    assert broken(lambda path: path.stem in vague, [*MODULES, *SITE]) == {}


def test_every_error_is_a_bulkops_error():
    def strays(path):
        classes = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.ClassDef)]
        plain = {"Exception", "ValueError", "RuntimeError", "TypeError"}
        return [one.name for one in classes if {ast.unparse(base) for base in one.bases} & plain]

    assert broken(strays) == {"bulkops/exceptions.py": ["BulkopsError"]}
