"""What a web server imports. A broken environment is one line and no restart loop."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

# gunicorn starts a worker again after any other exit code, for ever.
WORKER_BOOT_ERROR = 3

try:
    application = get_wsgi_application()
except ImproperlyConfigured as error:
    print(f"project.wsgi: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
    raise SystemExit(WORKER_BOOT_ERROR) from None
