"""The settings of bulkops: `settings.BULKOPS` read into one frozen dataclass, with units and defaults.

No other module of bulkops reads Django's settings for a behaviour of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Conf:
    """Every setting with its unit in its name; change one with `BULKOPS = {"slice_seconds": 2}`."""

    chunk_items: int = 1_000
    """Items of one chunk at most; a chunk is what one worker holds and what its progress row counts."""
    chunk_bytes: int = 1_000_000
    """A chunk ends early where its items are larger than this together, before compression."""
    slice_seconds: float = 3.0
    """How long a worker stays with one job before the others get their turn."""
    first_slice_head_start_seconds: float = 600.0
    """A job's first slice goes before further slices that have waited for less than this. Longer than all turns take to
    go round once, or newcomers wait behind old ones; it is what a stream of newcomers may cost those at most."""
    lock_timeout_seconds: float = 5.0
    """How long a submission or a control action waits for a row lock."""

    rate_quantum_seconds: float = 0.25
    """A worker of a job with a speed limit is given permits for about this long; in any second, as much more of the
    limit may begin."""

    cluster_renew_seconds: float = 2.0
    """How often a cluster's leader says that it lives, rescues and looks for due work."""
    cluster_alive_seconds: float = 10.0
    """How long one such sign of life counts; a host lost is noticed after this."""
    turn_grace_seconds: float = 2.0
    """How long a due turn whose message is gone may wait before it is sent again."""
    operation_missing_seconds: float = 600.0
    """How long a job waits for a worker that knows its operation, as during a deploy, before it pauses."""
    no_worker_seconds: float = 60.0
    """With no cluster alive for this long, page and API refuse new jobs."""
    listen_fallback_seconds: float = 5.0
    """A worker looks into the queue this often even when no notification came and nothing became due."""
    wedged_after_seconds: float = 30.0
    """A worker that neither works nor takes a waiting message for so long is replaced."""
    schedules_every_seconds: float = 30.0
    """How often a cluster makes tasks of django-q2's schedules that are due."""

    item_bytes: int = 64 * 1024
    """Size of one item as JSON."""
    result_bytes: int = 64 * 1024
    """Size of one item's result as JSON; longer ones are cut and say so."""
    message_chars: int = 2_000
    """Length of an error text or a progress message; longer ones are cut and say so."""
    message_every_seconds: float = 1.0
    """`context.message` is written at most this often."""
    body_bytes: int = 10 * 1024 * 1024
    """Size of items typed, pasted or sent as JSON."""
    body_items: int = 100_000
    """Number of items typed, pasted or sent as JSON."""
    file_bytes: int = 100 * 1024 * 1024
    """Size of an uploaded file."""
    file_items: int = 1_000_000
    """Number of rows of an uploaded file."""
    upload_files: int = 1_000
    """Number of files that one job may be given; each is at most `file_bytes`."""
    upload_bytes: int = 500 * 1024 * 1024
    """Size of all of them together."""
    files_folders: tuple[str, ...] = ()
    """Folders of the default storage whose files anybody may name as items, where an operation takes files."""
    validated_in_request: int = 10_000
    """Up to so many items are validated in the request; more are validated while preparing."""
    bad_items_named: int = 100
    """How many invalid items an error message names."""
    preview_items: int = 5
    """Rows shown before a job is started."""
    count_seconds: float = 1.0
    """How long a preview may take to count, and again to read the first of, what an operation would find itself; then
    it gives no number."""
    dry_run_items: int = 5
    """Items that a dry run tries at most."""
    dry_run_seconds: float = 10.0
    """How long a dry run may take; what it has not tried by then, it does not try. Well below the gateway's limit."""

    failure_share_items: int = 20
    """A `max_failures` that is a share counts once so many items were tried since the job was begun or last resumed."""
    transient_attempts: int = 5
    """How often an item is run again after a deadlock or a serialization failure."""
    idempotency_hours: float = 24.0
    """How long an idempotency key is remembered."""
    keep_jobs_days: float | None = 90.0
    """How long an ended job is kept, with all its rows; 0 or None: for ever."""
    poll_seconds: float = 1.0
    """How often the card asks for news while a job is active."""
    poll_paused_seconds: float = 5.0
    """How often it asks while the job is paused."""

    api_submits_per_minute: int = 120
    """How many jobs a user may send to the API in a minute, refused ones too; status reads are not limited."""
    api_anonymous_per_minute: int = 60
    """Calls that an address may make in a minute without logging in, as for the API's schema."""
    login_failures: int = 10
    """Failed log-ins of one name from one address, by page and API together, within `login_window_seconds`; an address
    has ten times as many for all names."""
    login_window_seconds: float = 300.0
    """For how long a failed log-in counts."""
    trusted_proxies: int = 0
    """Proxies in front that append to X-Forwarded-For; so many entries from its end are believed. 0: the connection's
    own address counts."""

    http_hosts: tuple[str, ...] = ()
    """Hosts that may be called over HTTP: `api.example.org`, `api.example.org:8443`, `*.example.org` for every name
    below one, `http://intranet.example.org` where it may go without encryption. None: nobody."""
    http_private_networks: tuple[str, ...] = ()
    """Networks such as `10.0.0.0/8` in which hosts of that list may be; else only the public internet is called."""
    http_ca_file: str = ""
    """A file of certificates (PEM) that are trusted besides the usual authorities, as for an intranet's own."""
    http_secrets: Mapping[str, Mapping[str, Any]] | None = field(default=None, repr=False)
    """What calls may send and nobody may read, by name: `{"shop": {"value": …, "hosts": ("api.example.org",)}}`. The
    value is a text or a callable that gives one; it is sent to those hosts alone."""

    metrics_token: str = field(default="", repr=False)
    """Whoever sends it as `Authorization: Bearer …` may read `/metrics`. Without this and `metrics_addresses`, nobody
    may."""
    metrics_addresses: tuple[str, ...] = ()
    """Addresses and networks, such as `10.0.0.0/8`, that may read it without a token; judged by `trusted_proxies`."""

    base_url: str = ""
    """The site's own address, such as `https://bulk.example.org`, for links in webhooks and e-mails, which no request
    tells; without it they are paths."""
    webhook_endpoints: int = 10
    """Endpoints that a user may have."""
    webhook_timeout_seconds: float = 15.0
    """How long a receiver of a webhook may take, all in all; also each step of sending an e-mail."""
    webhook_retry_seconds: tuple[float, ...] = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
    """The waits between the attempts of a delivery, the first of which is made at once; each give or take a tenth."""
    webhook_failing_days: float = 5.0
    """An endpoint of which every attempt has failed for so long is switched off."""
    webhook_parallel: int = 8
    """Receivers that one cluster waits for at the same time; of each endpoint it is one delivery at a time."""
    webhook_plain_http: bool = False
    """Whether endpoints may be `http://…` too, where everybody on the way can read what is sent."""
    webhook_private_networks: tuple[str, ...] = ()
    """Networks such as `10.0.0.0/8` in which endpoints may be; every user reaches all of them. Else only the public
    internet is called."""


def _read() -> Conf:
    given = getattr(settings, "BULKOPS", {})
    unknown = set(given) - {field.name for field in fields(Conf)}
    if unknown:
        raise ImproperlyConfigured(f"BULKOPS has unknown settings: {', '.join(sorted(unknown))}")
    return Conf(**given)


@lru_cache(maxsize=1)
def conf() -> Conf:
    """The settings in force; read once, and again when a test overrides them."""
    return _read()


def site_language() -> str:
    """What workers speak, who know no reader: Django's own setting."""
    return str(settings.LANGUAGE_CODE)


def _forget(*, setting: str, **_: object) -> None:
    if setting == "BULKOPS":
        conf.cache_clear()


setting_changed.connect(_forget)
