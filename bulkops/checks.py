"""System checks: settings under which bulkops would break its promises, each told in words with its remedy.

They run with `manage.py check`, `migrate` and `qcluster`, and touch no database; but for those of the operations that
need one, which run with `migrate` and with `manage.py check --database default`.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import DEFAULT_STORAGE_ALIAS, settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Info, Tags, register
from django.core.checks import Warning as Caution
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import FileSystemStorage, InvalidStorageError, storages
from django.db import DEFAULT_DB_ALIAS, connections, router
from django.db.migrations.executor import MigrationExecutor
from django.utils.version import get_version_tuple

from bulkops import declaration, holds, registry
from bulkops.conf import Conf, conf

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bulkops.operation import Operation

TAG = "bulkops"
TESTED_DJANGO_Q2 = ("1.11.1", "1.12")
"""The first version, and the one before which to stop; requirements.txt says the same."""
READ_COMMITTED = frozenset({None, 1, 4})
"""Values of psycopg2's isolation_level that mean it: the server's default, itself, and READ UNCOMMITTED."""
PGBOUNCER_PORT = "6432"
IDLE_Q_SETTINGS = ("bulk", "cpu_affinity", "daemonize_workers", "guard_cycle", "poll", "queue_limit")
"""Of django-q2, which bulkops' cluster does not look at; a `timeout` beside them keeps django-q2 from warning."""


@register(TAG)
def check_database(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The default database is PostgreSQL, reached through psycopg2, by connections that last."""
    found: list[CheckMessage] = []
    default = connections["default"]
    if default.vendor != "postgresql":
        return [
            Error(
                f"The default database is {default.vendor}; bulkops needs PostgreSQL, whose row locks and SKIP LOCKED"
                " its jobs rely on.",
                hint="Set DATABASES['default'] to a PostgreSQL database.",
                id="bulkops.E001",
            )
        ]
    if find_spec("psycopg") is not None:
        found.append(
            Error(
                "psycopg 3 is installed, and Django prefers it; bulkops sends its statements through psycopg2.",
                hint="pip uninstall psycopg psycopg-binary psycopg-pool",
                id="bulkops.E002",
            )
        )
    if default.settings_dict["CONN_MAX_AGE"] == 0:
        found.append(
            Caution(
                "CONN_MAX_AGE is 0, so each poll of a progress bar opens a database connection of its own.",
                hint="Set DATABASES['default']['CONN_MAX_AGE'] = 60.",
                id="bulkops.W001",
            )
        )
    elif not default.settings_dict["CONN_HEALTH_CHECKS"]:
        found.append(
            Caution(
                "CONN_HEALTH_CHECKS is off, so after a restart of PostgreSQL each kept connection costs one error.",
                hint="Set DATABASES['default']['CONN_HEALTH_CHECKS'] = True.",
                id="bulkops.W002",
            )
        )
    return [*found, *_check_transactions(default.settings_dict), *_check_way_to_database(default.settings_dict)]


def _check_transactions(given: dict[str, Any]) -> Iterator[CheckMessage]:
    options = given["OPTIONS"]
    by_server = re.search(
        r"default_transaction_isolation\s*=\s*'?(repeatable|serializable)", options.get("options", "")
    )
    if options.get("isolation_level") not in READ_COMMITTED or by_server:
        yield Error(
            "The default database's transactions are not READ COMMITTED. Whoever has waited for a row lock must see"
            " what the other wrote; under a stricter level claims, fences and submissions fail instead.",
            hint="Remove isolation_level and default_transaction_isolation from DATABASES['default']['OPTIONS'];"
            " ask for the stricter level in the transactions that need it.",
            id="bulkops.E012",
        )
    if not given["AUTOCOMMIT"]:
        yield Error(
            "AUTOCOMMIT is off, so nothing commits that does not stand in a transaction of its own: workers would hold"
            " their locks, and nobody would see progress.",
            hint="Remove DATABASES['default']['AUTOCOMMIT'].",
            id="bulkops.E013",
        )
    if given["ATOMIC_REQUESTS"]:
        yield Caution(
            "ATOMIC_REQUESTS is on. A view that submits keeps its user's row locked until its response is made, and the"
            " job is seen and begun only then; a view that pauses or cancels keeps the job locked, and its workers"
            " waiting, for as long.",
            hint="Put @transaction.non_atomic_requests on those views, or let them submit last.",
            id="bulkops.W005",
        )


def _check_way_to_database(given: dict[str, Any]) -> Iterator[CheckMessage]:
    if given.get("DISABLE_SERVER_SIDE_CURSORS") or str(given["PORT"]) == PGBOUNCER_PORT:
        yield Caution(
            "The default database seems to be reached through a pooler (DISABLE_SERVER_SIDE_CURSORS is on, or the port"
            f" is {PGBOUNCER_PORT}). Workers use LISTEN, PREPARE and session settings, which a pooler in transaction"
            " mode does not keep.",
            hint="Let workers reach PostgreSQL itself; where only the web side has a pooler, silence this there.",
            id="bulkops.W006",
        )
    here = [given[name] for name in ("NAME", "HOST", "PORT")]
    for alias in connections:
        other = connections[alias].settings_dict
        if alias != "default" and here == [other[name] for name in ("NAME", "HOST", "PORT")]:
            yield Caution(
                f"The alias “{alias}” leads to the same database as “default” by a connection of its own. What an item"
                " writes through it does not commit with the item's progress, and a row that it has locked through one"
                " it waits for in vain through the other.",
                hint="Let operations, and what they call, use “default” alone.",
                id="bulkops.W007",
            )


@register(TAG)
def check_queue(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The queue lies in the same database as the jobs, and its messages go to workers."""
    found: list[CheckMessage] = []
    queue = getattr(settings, "Q_CLUSTER", {})
    if queue.get("orm") != "default":
        found.append(
            Error(
                f"Q_CLUSTER['orm'] is {queue.get('orm')!r}; only in the jobs' own database does a message commit with"
                " the job that it announces.",
                hint="Set Q_CLUSTER['orm'] = 'default'.",
                id="bulkops.E003",
            )
        )
    if queue.get("sync"):
        found.append(
            Error(
                "Q_CLUSTER['sync'] runs jobs inside the request that submits them.",
                hint="Remove Q_CLUSTER['sync'].",
                id="bulkops.E004",
            )
        )
    if not apps.is_installed("django_q"):
        found.append(Error("django_q is not installed.", hint="Add 'django_q' to INSTALLED_APPS.", id="bulkops.E005"))
    elif _is_behind_django_q():
        found.append(
            Error(
                "django_q stands before bulkops in INSTALLED_APPS, so `manage.py qcluster` is django-q2's own, whose"
                " workers do not survive each other's deaths.",
                hint="Move 'bulkops' up, before 'django_q'.",
                id="bulkops.E006",
            )
        )
    return [*found, *_check_version_of_django_q(), *_check_own_tasks(queue)]


def _check_own_tasks(queue: dict[str, Any]) -> Iterator[CheckMessage]:
    """Of the turns' messages none of this is true: they are inert when they come twice."""
    elsewhere = [name for name in ("broker_class", "iron_mq", "sqs") if queue.get(name)]
    if elsewhere:
        yield Error(
            f"Q_CLUSTER names another broker too ({', '.join(elsewhere)}), and django-q2 prefers it to 'orm': the"
            " project's own tasks go there, where bulkops' workers do not look.",
            hint="Leave 'orm' alone.",
            id="bulkops.E011",
        )
    retry, timeout = queue.get("retry", 60), queue.get("timeout") or 0
    if "retry" not in queue or retry <= timeout:
        yield Caution(
            f"Q_CLUSTER['retry'] is {retry} s: a task of the project's own that takes longer is begun a second time"
            " while it runs.",
            hint="Set it above the longest task, and above 'timeout': Q_CLUSTER['retry'] = 3600.",
            id="bulkops.W008",
        )
    if not queue.get("ack_failures") and not queue.get("max_attempts"):
        yield Caution(
            "Q_CLUSTER has neither ack_failures nor max_attempts: a task of the project's own that fails is begun again"
            f" every {retry} s, for ever.",
            hint="Set Q_CLUSTER['ack_failures'] = True, or a 'max_attempts'.",
            id="bulkops.W009",
        )
    idle = [name for name in IDLE_Q_SETTINGS if name in queue]
    if idle:
        yield Info(
            f"Q_CLUSTER sets {', '.join(idle)}, which bulkops' cluster does not use: each worker takes one task at a"
            " time as soon as it is due, and its leader watches it.",
            hint="Remove them.",
            id="bulkops.I001",
        )


def _check_version_of_django_q() -> Iterator[CheckMessage]:
    try:
        installed = version("django-q2")
    except PackageNotFoundError:
        return  # not installed, or not by a package manager: nobody knows
    first, end = (get_version_tuple(limit) for limit in TESTED_DJANGO_Q2)
    if not first <= get_version_tuple(installed) < end:
        oldest, too_new = TESTED_DJANGO_Q2
        yield Caution(
            f"django-q2 {installed} is installed. The cluster builds on inner parts of django-q2, and was tested with"
            f" {oldest} and what follows it below {too_new}.",
            hint=f'pip install "django-q2>={oldest},<{too_new}"',
            id="bulkops.W004",
        )


def _is_behind_django_q() -> bool:
    order = [config.name for config in apps.get_app_configs()]
    return order.index("django_q") < order.index("bulkops")


@register(TAG)
def check_project(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Settings of the project that the tables rely on, and bulkops' own."""
    found: list[CheckMessage] = []
    if not settings.USE_TZ:
        found.append(
            Error(
                "USE_TZ is off; jobs are timed by the database's clock, whose times have zones.",
                hint="Set USE_TZ = True.",
                id="bulkops.E007",
            )
        )
    queue = [apps.get_model("django_q", "OrmQ")] if apps.is_installed("django_q") else []
    for model in (*apps.get_app_config("bulkops").get_models(), get_user_model(), *queue):
        # Reads too: what a transaction has just locked is not seen on a replica.
        alias = next(
            (alias for alias in (router.db_for_write(model), router.db_for_read(model)) if alias != "default"), ""
        )
        if alias:
            found.append(
                Error(
                    f"A database router sends {model.__name__} to “{alias}”; jobs, users and the queue share one.",
                    hint="Let DATABASE_ROUTERS leave bulkops, django_q and the user model in “default”.",
                    id="bulkops.E008",
                )
            )
    try:
        conf()
    except (ImproperlyConfigured, TypeError) as error:
        found.append(Error(str(error), hint="See bulkops/conf.py for what there is.", id="bulkops.E009"))
    return found


@register(TAG)
def check_operations(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What registering an operation could not see yet: its forms, its secrets, its permission."""
    found: list[CheckMessage] = [
        Error(fault, hint="What stands below it in its module is not registered either.", id="bulkops.E014")
        for fault in registry.faults
    ]
    found += [
        Caution(
            f"App “{package}” has no operations: the module “{module}”, which they need, is not installed.",
            hint="Install its package, or take the app out of INSTALLED_APPS.",
            id="bulkops.W021",
        )
        for package, module in registry.lacking.items()
    ]
    return found + [message for operation in registry.every() for message in _check_operation(operation)]


def _check_operation(operation: Operation) -> Iterator[CheckMessage]:
    for label in ("Params", "Item"):
        form = getattr(operation, label)
        try:
            _ = form().fields if form is not None else {}
        except Exception as error:  # an author's __init__ may raise anything
            yield Error(
                f"Operation “{operation.name}”: {label} cannot be made without arguments: {error}",
                hint="Workers, page and shell make the form themselves; give every argument a default.",
                id="bulkops.E010",
            )
    for name, meant in declaration.slips(operation).items():
        yield Caution(
            f"Operation “{operation.name}” declares `{name}`, of which bulkops knows nothing; is `{meant}` meant?",
            hint=f"Rename it, or put an underscore before it if it is your own: `_{name}`.",
            id="bulkops.W010",
        )
    if operation.permission is not None and not _is_permission(operation.permission):
        yield Caution(
            f"Operation “{operation.name}”: no model declares the permission “{operation.permission}”, so only"
            " superusers may run it unless it is made by hand.",
            hint="It reads “app_label.codename”, such as “ticketing.change_ticket”.",
            id="bulkops.W003",
        )


@register(TAG)
def check_storage(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What people upload is found again by another process; with Django's own MEDIA_ROOT, only from the same folder."""
    try:
        storage = storages[DEFAULT_STORAGE_ALIAS]
    except (InvalidStorageError, ImproperlyConfigured):
        return []  # told by Django, to whoever uses it
    if not isinstance(storage, FileSystemStorage) or Path(storage.base_location).is_absolute():
        return []
    return [
        Caution(
            "Uploaded files are stored in whatever folder a process was started in: web and workers may not find each"
            " other's.",
            hint='Set MEDIA_ROOT to an absolute path, such as BASE_DIR / "media".',
            id="bulkops.W022",
        )
    ]


@register(TAG)
def check_files(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Django itself refuses a form with more files than its own setting says, before bulkops sees it."""
    most = settings.DATA_UPLOAD_MAX_NUMBER_FILES
    wanted = getattr(settings, "BULKOPS", {}).get("upload_files", Conf.upload_files)
    takes = [operation.name for operation in registry.every() if operation.takes_files]
    if not takes or most is None or most > wanted:
        return []
    return [
        Caution(
            f"DATA_UPLOAD_MAX_NUMBER_FILES is {most}, so forms with more files are refused, although “{takes[0]}” takes"
            f" {wanted:,} (upload_files).",
            hint=f"Set DATA_UPLOAD_MAX_NUMBER_FILES = {wanted + 1}, or a smaller BULKOPS['upload_files'].",
            id="bulkops.W020",
        )
    ]


def _is_permission(name: str) -> bool:
    label, _, codename = name.partition(".")
    if label not in apps.app_configs:
        return False
    declared = set()
    for model in apps.get_app_config(label).get_models():
        declared |= {f"{action}_{model._meta.model_name}" for action in model._meta.default_permissions}
        declared |= {custom for custom, _ in model._meta.permissions}
    return codename in declared


@register(Tags.database)
def check_operations_in_the_database(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """What only the tables know: that a permission was made, and that the workers there are serve each queue.

    Silent while there are migrations to apply, which may be just what is missing.
    """
    if DEFAULT_DB_ALIAS not in (databases or ()) or connections[DEFAULT_DB_ALIAS].vendor != "postgresql":
        return []
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return []
    return [*_check_permissions_made(), *_check_queues_served()]


def _check_permissions_made() -> Iterator[CheckMessage]:
    if not apps.is_installed("django.contrib.auth"):
        return
    made = set(apps.get_model("auth", "Permission").objects.values_list("content_type__app_label", "codename"))
    for operation in registry.every():
        if operation.permission is not None and tuple(operation.permission.split(".")) not in made:
            yield Caution(
                f"Operation “{operation.name}”: the database has no permission “{operation.permission}”, so it can be"
                " given to nobody, and only superusers may run it.",
                hint="`manage.py migrate` makes those that models declare, by their Meta.permissions or by themselves.",
                id="bulkops.W011",
            )


def _check_queues_served() -> Iterator[CheckMessage]:
    served = {queue for queues in holds.alive_clusters().values_list("queues", flat=True) for queue in queues}
    for operation in registry.every():
        if served and operation.queue not in served:
            yield Caution(
                f"Operation “{operation.name}”: of the workers that run now, none serves its queue"
                f" “{operation.queue}”; its jobs would wait.",
                hint=f"Start one: manage.py qcluster --queues {operation.queue}",
                id="bulkops.W012",
            )
