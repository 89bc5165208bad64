"""The settings follow the environment, refuse what they can't understand, and are safe where nothing is said."""

import json
import os
import re
import secrets
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest
from django.core.management import get_commands
from django.db import connection

ROOT = Path(__file__).resolve().parents[1]
SERVER = "postgres://someone:hidden-word@127.0.0.1:1/somewhere"


def environment(**more):
    """The caller's, without anything that the settings read."""
    read = ("SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "DATABASE_URL", "PORT", "DJANGO_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith((*read, "BULKOPS_"))}
    return kept | more


def production(**more):
    """As few words as a deployment can do with."""
    return environment(SECRET_KEY=secrets.token_urlsafe(50), DATABASE_URL=SERVER, **more)


def manage(*arguments, env):
    return subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env=env, capture_output=True, text=True)


def settings_under(env, *names):
    """What these settings are in a process of that environment."""
    program = (
        "import json, sys; sys.path[:0] = ['.', 'site']; from project import settings;"
        "print(json.dumps({name: getattr(settings, name, None) for name in sys.argv[1:]}, default=str))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *names], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


BROKEN = [
    ({"DEBUG": "0"}, "SECRET_KEY is not set, and DEBUG is off"),
    ({"DEBUG": "perhaps"}, "DEBUG must be 1 or 0, not 'perhaps'"),
    ({"DATABASE_URL": "mysql://u:hidden-word@h/d"}, "DATABASE_URL must name a PostgreSQL database"),
    ({"DATABASE_URL": SERVER}, "the database can't be reached: "),
]
BROKEN_TOO = [
    ({"SECRET_KEY": "k"}, "DATABASE_URL is not set, and DEBUG is off"),
    ({"PORT": "http"}, "PORT must be a whole number from 1 to 65535, not 'http'"),
    ({"PORT": "70000"}, "PORT must be a whole number"),
    ({"BULKOPS_WORKERS": "0"}, "BULKOPS_WORKERS must be a whole number from 1 to 256, not '0'"),
    ({"BULKOPS_WORKERS": "²"}, "BULKOPS_WORKERS must be a whole number"),
    ({"BULKOPS_DEMO_PROVIDER_URL": "http://u:hidden-word@h/"}, "BULKOPS_DEMO_PROVIDER_URL must look like"),
    ({"BULKOPS_HTTP_SECRETS": "hidden-word"}, "BULKOPS_HTTP_SECRETS must be JSON such as"),
    ({"BULKOPS_HTTP_SECRETS": '["hidden-word"]'}, "BULKOPS_HTTP_SECRETS must be JSON such as"),
    ({"BULKOPS_EMAIL_URL": "mail:hidden-word@h"}, "BULKOPS_EMAIL_URL must look like"),
    ({"CSRF_TRUSTED_ORIGINS": "example.org"}, "CSRF_TRUSTED_ORIGINS must list origins such as"),
    ({"DATABASE_URL": "what:hidden-word"}, "DATABASE_URL can't be understood"),
    ({"DATABASE_URL": "postgres://u:hidden-word@h:port/d"}, "DATABASE_URL can't be understood"),
    ({"DATABASE_URL": "postgres://u:hidden-word@h"}, "DATABASE_URL names no database"),
]
"""Slow, since each is one more process."""


@pytest.mark.parametrize(
    ("words", "said"), [*BROKEN, *(pytest.param(*case, marks=pytest.mark.slow) for case in BROKEN_TOO)]
)
def test_a_broken_environment_is_one_line_and_exit_code_2(words, said):
    done = manage("migrate", "--skip-checks", env=environment(**words))
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert said in line
    assert "hidden-word" not in line


def test_a_web_server_that_lacks_its_key_says_so_in_one_line_and_is_not_started_again():
    program = "import sys; sys.path[:0] = ['.', 'site']; import project.wsgi"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 3  # what gunicorn takes for "give up"
    assert done.stderr == "project.wsgi: SECRET_KEY is not set, and DEBUG is off: a deployment needs a key of its own\n"


def test_debug_is_off_where_nothing_is_said():
    assert settings_under(production(), "DEBUG") == {"DEBUG": False}


def test_a_checkout_without_a_key_is_development():
    program = "from django.conf import settings; print(settings.DEBUG, settings.DATABASES['default']['ENGINE'])"
    done = manage("shell", "--no-imports", "-c", program, env=environment())
    assert done.stdout == "True project.embedded\n", done.stderr


@pytest.mark.slow
def test_a_deployments_check_finds_nothing_to_warn_of():
    done = manage("check", "--deploy", "--fail-level", "WARNING", env=production())
    assert done.returncode == 0, done.stderr


def test_a_deployment_is_closed_in_every_way_that_was_not_opened():
    names = (
        "ALLOWED_HOSTS",
        "SECURE_SSL_REDIRECT",
        "SESSION_COOKIE_SECURE",
        "CSRF_COOKIE_SECURE",
        "SECURE_PROXY_SSL_HEADER",
    )
    assert settings_under(production(), *names) == {
        "ALLOWED_HOSTS": ["localhost", "127.0.0.1", "[::1]"],
        "SECURE_SSL_REDIRECT": True,
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "SECURE_PROXY_SSL_HEADER": None,
    }
    opened = production(BULKOPS_SSL_REDIRECT="0", BULKOPS_BEHIND_PROXY="yes", ALLOWED_HOSTS="a.example, b.example")
    assert settings_under(opened, *names) == {
        "ALLOWED_HOSTS": ["a.example", "b.example"],
        "SECURE_SSL_REDIRECT": False,
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "SECURE_PROXY_SSL_HEADER": ["HTTP_X_FORWARDED_PROTO", "https"],
    }


def test_a_named_database_replaces_the_embedded_one():
    found = settings_under(environment(DEBUG="1", DATABASE_URL=f"{SERVER}?connect_timeout=3"), "DATABASES")
    default = found["DATABASES"]["default"]
    assert default["ENGINE"] == "django.db.backends.postgresql"
    assert default["CONN_MAX_AGE"] >= 60
    assert default["CONN_HEALTH_CHECKS"] is True
    assert default["OPTIONS"]["connect_timeout"] == 3
    assert "EMBEDDED" not in default


def test_the_development_key_is_made_once_also_by_many_at_once(tmp_path):
    path = tmp_path / "new" / "secret_key"
    program = (
        "import sys; sys.path[:0] = ['.', 'site']; from pathlib import Path; from project import settings;"
        "print(settings._development_key(Path(sys.argv[1])))"
    )

    def make(_):
        command = [sys.executable, "-c", program, str(path)]
        done = subprocess.run(command, cwd=ROOT, env=production(), capture_output=True, text=True, check=True)
        return done.stdout

    with ThreadPoolExecutor(4) as pool:
        keys = set(pool.map(make, range(4)))
    assert keys == {path.read_text() + "\n"}
    assert len(path.read_text()) >= 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret_key"]


def test_the_worker_command_is_our_own_and_not_django_q2s():
    assert get_commands()["qcluster"] == "bulkops"


def test_psycopg2_is_the_driver(django_db_blocker):
    assert find_spec("psycopg") is None
    assert connection.Database.__name__ == "psycopg2"


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere(client, settings):
    policy = client.get("/admin/login/").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    for part in (
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
    ):
        assert part in policy.split("; ")
    for part in ("frame-ancestors 'none'", "form-action 'self'"):
        assert part in policy.split("; ")
    assert not re.search("unsafe|nonce|http", policy)


def test_uploads_have_no_url(settings):
    assert settings.MEDIA_URL in ("", "/")
    assert not Path(settings.MEDIA_ROOT).is_relative_to(settings.STATIC_ROOT)


def test_only_the_settings_read_the_environment():
    """The embedded server and `up` copy it for the processes that they start; they look nothing up."""
    reads = re.compile(r"os\.getenv|environ\[|environ\.get\((?!\"PATH\")")
    guilty = [
        path.relative_to(ROOT).as_posix()
        for folder in ("site", "bulkops")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "settings.py" and reads.search(path.read_text())
    ]
    assert guilty == []


def test_a_deployment_calls_the_hosts_that_its_environment_names_and_no_other():
    nothing = {"http_hosts": [], "http_private_networks": [], "http_secrets": {}}
    nothing |= {"metrics_token": "", "metrics_addresses": [], "base_url": ""}
    nothing |= {"webhook_private_networks": [], "webhook_plain_http": False}
    assert settings_under(production(), "BULKOPS")["BULKOPS"] == nothing
    words = {
        "BULKOPS_HTTP_HOSTS": "api.example.org, *.example.com",
        "BULKOPS_HTTP_PRIVATE_NETWORKS": "10.0.0.0/8",
        "BULKOPS_HTTP_SECRETS": '{"shop": {"value": "hush-hush", "hosts": ["api.example.org"]}}',
    }
    assert settings_under(production(**words), "BULKOPS")["BULKOPS"] == nothing | {
        "http_hosts": ["api.example.org", "*.example.com"],
        "http_private_networks": ["10.0.0.0/8"],
        "http_secrets": {"shop": {"value": "hush-hush", "hosts": ["api.example.org"]}},
    }


def test_the_mail_server_is_the_one_that_the_environment_names():
    url = "smtp://shop:p%40ss@mail.example.org:2525"
    names = ("EMAIL_HOST", "EMAIL_PORT", "EMAIL_HOST_USER", "EMAIL_HOST_PASSWORD", "EMAIL_USE_TLS")
    assert list(settings_under(production(BULKOPS_EMAIL_URL=url), *names).values()) == [
        "mail.example.org",
        2525,
        "shop",
        "p@ss",
        True,
    ]
    assert settings_under(production(BULKOPS_EMAIL_URL="smtps://m.example.org"), "EMAIL_PORT")["EMAIL_PORT"] == 465
