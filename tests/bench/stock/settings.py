"""The least that django-q2's own cluster needs; everything it does not ask for is as it comes."""

import os

import dj_database_url

SECRET_KEY = os.environ["SECRET_KEY"]
DATABASES = {"default": dj_database_url.parse(os.environ["STOCK_DATABASE_URL"], conn_max_age=60)}
INSTALLED_APPS = ["django.contrib.contenttypes", "django_q", "tests.bench.stock"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
Q_CLUSTER = {"name": "stock", "orm": "default", "workers": 2, "timeout": 600, "retry": 1200}
LOGGING = {"version": 1, "disable_existing_loggers": False, "root": {"level": "WARNING"}}
