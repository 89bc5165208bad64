"""Where each part of the site answers. The product's own pages and health checks are in `bulkops.web.urls`."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import views
from django.urls import include, path

from bulkops.api.logins import LoginForm

handler400 = "project.errors.bad_request"

urlpatterns = [
    path("admin/", admin.site.urls),
    path(
        "accounts/login/",
        views.LoginView.as_view(redirect_authenticated_user=True, authentication_form=LoginForm),
        name="login",
    ),
    path("accounts/logout/", views.LogoutView.as_view(), name="logout"),
    path("tickets/", include("ticketing.urls")),
    path("api/", include("bulkops.api.urls")),
    path("problems/", include("bulkops.api.problem_urls")),
    path("tokens/", include("bulkops.api.token_urls")),
    path("", include("bulkops.metrics.urls")),
    path("", include("bulkops.web.urls")),
]
if settings.PROVIDER_SERVED:
    urlpatterns.insert(0, path("payments/", include("payments.urls")))
