"""A project set up as the README says, without the packages named on the command line: is it checked, and imported?"""

from __future__ import annotations

import importlib
import pkgutil
import sys

import django
from django.conf import settings
from django.core import checks

SWITCHED_ON = ("bulkops.api", "bulkops.contrib", "bulkops.metrics", "bulkops.outbound")
"""What an app or an address of its own brings, or stands on."""


def main(absent: list[str]) -> None:
    """Raises ImportError where bulkops needs one of them; prints what the checks complain of."""
    sys.modules.update(dict.fromkeys(absent))
    contrib = ("admin", "auth", "contenttypes", "messages", "sessions", "staticfiles")
    settings.configure(
        SECRET_KEY="0" * 50,
        USE_TZ=True,
        ROOT_URLCONF="bulkops.web.urls",
        MEDIA_ROOT="/srv/shop/media",
        INSTALLED_APPS=["bulkops", *(f"django.contrib.{name}" for name in contrib), "django_htmx", "django_q"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "shop",
                "CONN_MAX_AGE": 60,
                "CONN_HEALTH_CHECKS": True,
            }
        },
        Q_CLUSTER={"name": "shop", "orm": "default", "timeout": 3000, "retry": 3600, "ack_failures": True},
    )
    django.setup()
    for message in checks.run_checks(tags=["bulkops", "urls"]):
        print(message)
    import bulkops

    for module in pkgutil.walk_packages(bulkops.__path__, "bulkops."):
        if not module.name.startswith(SWITCHED_ON):
            importlib.import_module(module.name)


if __name__ == "__main__":
    main(sys.argv[1:])
