"""Django's settings, and the only reader of the environment.

What the environment may say: SECRET_KEY, DEBUG, ALLOWED_HOSTS, CSRF_TRUSTED_ORIGINS, DATABASE_URL, PORT, and BULKOPS_*.
A value that can't be understood is an error here, in words, and never a default further on.
"""

import contextlib
import json
import os
import secrets
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import dj_database_url
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.crypto import salted_hmac

from project.embedded.places import DATABASE_ENGINE, choose_places

BASE_DIR = Path(__file__).resolve().parents[2]
LOCAL_DIR = BASE_DIR / ".bulkops"


def _text(name: str, default: str = "") -> str:
    return os.environ.get(name, "").strip() or default


def _flag(name: str, *, default: bool) -> bool:
    value = _text(name).lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    if not value:
        return default
    raise ImproperlyConfigured(f"{name} must be 1 or 0, not {value!r}")


def _number(name: str, default: int, *, least: int, most: int) -> int:
    value = _text(name)
    if not value:
        return default
    if not value.isascii() or not value.isdecimal() or not least <= int(value) <= most:
        raise ImproperlyConfigured(f"{name} must be a whole number from {least} to {most}, not {value!r}")
    return int(value)


def _list(name: str, default: tuple[str, ...] = ()) -> list[str]:
    return [part.strip() for part in _text(name).split(",") if part.strip()] or list(default)


def _origins(name: str) -> list[str]:
    origins = _list(name)
    for origin in origins:
        if not origin.startswith(("https://", "http://")):
            raise ImproperlyConfigured(f"{name} must list origins such as https://example.org, not {origin!r}")
    return origins


def _development_key(path: Path) -> str:
    """One key per checkout, so that sessions outlive a restart; of several processes at once, one makes it."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix="secret_key.") as draft:  # with mode 0600
                draft.write(secrets.token_urlsafe(50))
                draft.flush()
                # A link appears whole or not at all, and fails where another process was faster.
                with contextlib.suppress(FileExistsError):
                    os.link(draft.name, path)
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(f"the development key can't be kept ({error}): set SECRET_KEY") from None


def _secret_key() -> str:
    if key := _text("SECRET_KEY"):
        return key
    if not DEBUG:
        raise ImproperlyConfigured("SECRET_KEY is not set, and DEBUG is off: a deployment needs a key of its own")
    return _development_key(LOCAL_DIR / "secret_key")


def _server_database(url: str) -> dict[str, Any]:
    """The database that DATABASE_URL names. The URL holds a password, so no message repeats it."""
    try:
        config: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True))
    except ValueError:
        example = "postgres://user:password@host:5432/name"
        raise ImproperlyConfigured(f"DATABASE_URL can't be understood: it looks like {example}") from None
    if config.get("ENGINE") != "django.db.backends.postgresql":
        raise ImproperlyConfigured("DATABASE_URL must name a PostgreSQL database (postgres://...)")
    if not config.get("NAME"):
        raise ImproperlyConfigured("DATABASE_URL names no database: postgres://user:password@host:5432/name")
    # A host that vanishes without a word is noticed in a minute, not after the kernel's two hours.
    patience = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
    # Through a pooler nothing may be kept in a session: neither cursors on the server nor prepared queries.
    pooled = {"DISABLE_SERVER_SIDE_CURSORS": _flag("BULKOPS_POOLER", default=False)}
    return config | pooled | {"OPTIONS": patience | config.get("OPTIONS", {})}


def _embedded_database() -> dict[str, Any]:
    """A private server of this checkout. Only where it would be is worked out here: connecting starts it."""
    if not DEBUG:
        raise ImproperlyConfigured("DATABASE_URL is not set, and DEBUG is off: a deployment names its PostgreSQL")
    places = choose_places(Path(_text("BULKOPS_POSTGRES_HOME", str(LOCAL_DIR / "postgres"))))
    return {
        "ENGINE": DATABASE_ENGINE,
        "NAME": "bulkops",
        "USER": "bulkops",
        "HOST": str(places.sockets),
        "PORT": places.port,
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        # The environment's PGHOSTADDR would lead libpq past the socket.
        "OPTIONS": {"hostaddr": ""},
        "EMBEDDED": {"places": places, "programs": _text("BULKOPS_PG_BIN")},
    }


def _provider_url(url: str) -> str:
    """Where the payment provider is; addresses below it are joined to it. Credentials in it would show in messages."""
    try:
        parts = urlsplit(url)
        understood = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        understood = False
    if not understood or "@" in parts.netloc or parts.query or parts.fragment:
        raise ImproperlyConfigured(
            "BULKOPS_DEMO_PROVIDER_URL must look like https://payments.example.org/v1/; "
            "the key goes into BULKOPS_DEMO_PROVIDER_KEY"
        )
    return url.rstrip("/") + "/"


def _secrets(text: str) -> dict[str, Any]:
    """What calls may send, as JSON. No message repeats any of it."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ImproperlyConfigured(
            'BULKOPS_HTTP_SECRETS must be JSON such as {"shop": {"value": "...", "hosts": ["api.example.org"]}}'
        )
    return found


def _mail_server(url: str) -> dict[str, Any]:
    """The server that BULKOPS_EMAIL_URL names; EMAIL_* as Django calls them. It holds a password: not repeated."""
    try:
        parts = urlsplit(url)
        understood = parts.scheme in ("smtp", "smtps") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        understood = False
    if not understood:
        raise ImproperlyConfigured("BULKOPS_EMAIL_URL must look like smtp://user:password@mail.example.org:587")
    secured = {"EMAIL_USE_SSL": True} if parts.scheme == "smtps" else {"EMAIL_USE_TLS": bool(parts.username)}
    return {
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or (465 if parts.scheme == "smtps" else 587),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        **secured,
    }


# Tools that load these settings by themselves, without manage.py, run in somebody's checkout and never serve anybody.
_TESTING = "pytest" in sys.modules
DEBUG = _flag("DEBUG", default=_TESTING or "mypy" in sys.modules)
SECRET_KEY = _secret_key()
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
ALLOWED_HOSTS = _list("ALLOWED_HOSTS", _LOOPBACK)
CSRF_TRUSTED_ORIGINS = _origins("CSRF_TRUSTED_ORIGINS")
DATABASES = {"default": _server_database(_text("DATABASE_URL")) if _text("DATABASE_URL") else _embedded_database()}

# What `manage.py up` takes from the environment.
PORT = _number("PORT", 8000, least=1, most=65535)
DEMO_PASSWORD = _text("BULKOPS_DEMO_PASSWORD")

# The payment provider that the demo's refunds are asked of. Development plays it itself, unless one is named; with
# DEBUG off its addresses and its tables do not even exist.
PROVIDER_URL, PROVIDER_KEY = _text("BULKOPS_DEMO_PROVIDER_URL"), _text("BULKOPS_DEMO_PROVIDER_KEY")
PROVIDER_SERVED = DEBUG and not PROVIDER_URL
if PROVIDER_URL:
    PROVIDER_URL = _provider_url(PROVIDER_URL)
elif PROVIDER_SERVED:
    PROVIDER_URL = f"http://127.0.0.1:{PORT}/payments/"
    PROVIDER_KEY = PROVIDER_KEY or salted_hmac("payments", "api key", secret=SECRET_KEY, algorithm="sha256").hexdigest()

# The product's own settings; `bulkops.conf` holds each one's unit and default.
BULKOPS: dict[str, Any] = {
    "http_hosts": tuple(_list("BULKOPS_HTTP_HOSTS")),
    "http_private_networks": tuple(_list("BULKOPS_HTTP_PRIVATE_NETWORKS")),
    "http_secrets": _secrets(_text("BULKOPS_HTTP_SECRETS")),
    "metrics_token": _text("BULKOPS_METRICS_TOKEN"),
    "metrics_addresses": tuple(_list("BULKOPS_METRICS_ADDRESSES")),
    "base_url": _text("BULKOPS_BASE_URL", f"http://127.0.0.1:{PORT}" if DEBUG else ""),
    "webhook_private_networks": tuple(_list("BULKOPS_WEBHOOK_PRIVATE_NETWORKS")),
    "webhook_plain_http": _flag("BULKOPS_WEBHOOK_PLAIN_HTTP", default=False),
}
if _text("BULKOPS_EMAIL_URL"):
    globals().update(_mail_server(_text("BULKOPS_EMAIL_URL")))
elif DEBUG:
    EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
DEFAULT_FROM_EMAIL = _text("BULKOPS_EMAIL_FROM", "webmaster@localhost")
if PROVIDER_SERVED:
    # The provider that development plays can be called by anybody's rows too: bulkops/docs/http-calls.md shows it.
    _PROVIDER_HOST = f"http://127.0.0.1:{PORT}"
    BULKOPS["http_hosts"] += (_PROVIDER_HOST,)
    BULKOPS["http_private_networks"] += ("127.0.0.1/32",)
    BULKOPS["http_secrets"].setdefault("provider", {"value": PROVIDER_KEY, "hosts": (_PROVIDER_HOST,)})
# Above `body_bytes` (10 MB of pasted items), so that the page and not Django refuses what is larger, in words.
DATA_UPLOAD_MAX_MEMORY_SIZE = 11 * 1024 * 1024
# Above `upload_files` (1,000), likewise.
DATA_UPLOAD_MAX_NUMBER_FILES = 1_100

INSTALLED_APPS = [
    # Before django_q: where two apps have a command of one name, the earlier app's is run, and `qcluster` is ours.
    "bulkops",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    # Before staticfiles, so that runserver leaves static files to WhiteNoise too.
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "csp",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
    "bulkops.contrib.files",
    "bulkops.contrib.http_calls",
    "bulkops.contrib.vectors",
    "ticketing",
    *(["payments"] if PROVIDER_SERVED else []),
    "project",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "project.errors.DatabaseMayBeAway",
]

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AUTHENTICATION_BACKENDS = [
    # First, so that who failed too often is stopped before a password is looked at.
    "bulkops.api.logins.LimitedLogins",
    "django.contrib.auth.backends.ModelBackend",
]
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/accounts/login/"

# The queue only wakes workers; when a slice ends, and what follows a dead worker, is bulkops' own business.
Q_CLUSTER = {
    "name": "bulkops",
    "orm": "default",
    "workers": _number("BULKOPS_WORKERS", 2, least=1, most=256),
    "timeout": None,
    "retry": 3600,
    "ack_failures": True,
    "max_attempts": 1,
    "save_limit": -1,
    "catch_up": False,
    "log_level": "INFO",
}
# django-q2 warns of every timeout of None, also where, as here, no task is ever taken again by the clock.
warnings.filterwarnings("ignore", message="Retry and timeout are misconfigured", module="django_q.conf")

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
# Where `makemessages -l <language>` puts what the pages say; LocaleMiddleware would then choose a reader's language.
LOCALE_PATHS = [BASE_DIR / "bulkops" / "locale"]
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / ".staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Uploads and reports; no URL leads here, views hand them out after asking who wants them.
MEDIA_ROOT = BASE_DIR / "media"

# A manifest exists after collectstatic only, which neither development nor a test run wants to wait for.
_MANIFEST = not DEBUG and not _TESTING
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if _MANIFEST
        else "django.contrib.staticfiles.storage.StaticFilesStorage",
    },
}

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}

# The API's pages come from here, and not from somebody's network.
SPECTACULAR_SETTINGS: dict[str, Any] = {
    **dict.fromkeys(("SWAGGER_UI_DIST", "SWAGGER_UI_FAVICON_HREF", "REDOC_DIST"), "SIDECAR"),
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "defaultModelsExpandDepth": 0},
}

X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_SECURE = not DEBUG
CSRF_COOKIE_SECURE = not DEBUG
SECURE_SSL_REDIRECT = not DEBUG and _flag("BULKOPS_SSL_REDIRECT", default=True)
# Platforms ask for these from inside, over plain HTTP, and take a redirect for ill health.
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz)(/|$)", r"^healthz/workers/?$", r"^metrics/?$"]
SECURE_HSTS_SECONDS = 0 if DEBUG else _number("BULKOPS_HSTS_SECONDS", 31_536_000, least=0, most=63_072_000)
if _flag("BULKOPS_BEHIND_PROXY", default=False):
    # Only a proxy that overwrites this header makes it true; anybody else could simply send it.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    BULKOPS["trusted_proxies"] = 1
# HSTS for every host below the domain, and the browsers' preload list, bind hosts that are not this site's.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# One line an event: when, how bad, who, what. Never the content of a request or an item. In production lines are
# collected by programs, in development read by people.
_LOG_FORMAT = _text("BULKOPS_LOG_FORMAT", "line" if DEBUG else "json")
if _LOG_FORMAT not in ("line", "json"):
    raise ImproperlyConfigured(f"BULKOPS_LOG_FORMAT must be line or json, not {_LOG_FORMAT!r}")
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"},
        "json": {"()": "bulkops.json_lines.JsonLines"},
    },
    "filters": {"without_probes": {"()": "project.logs.WithoutProbes"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": _LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        # Emptied: Django gives this one a console handler of its own, and each line would come twice.
        "django": {"handlers": [], "level": "WARNING"},
        "django.request": {"filters": ["without_probes"]},
        "bulkops": {"level": "INFO"},
        "bulkops.slices": {"level": "INFO" if _LOG_FORMAT == "json" else "WARNING"},
        "django-q": {"level": "WARNING"},
    },
}
if PROVIDER_SERVED:
    LOGGING["filters"]["on_purpose"] = {"()": "payments.logs.OnPurpose"}
    LOGGING["loggers"]["django.request"]["filters"].append("on_purpose")
