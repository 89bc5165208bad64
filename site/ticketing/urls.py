"""Addresses of the ticketing app, below `tickets/`."""

from django.urls import path

from ticketing import views

app_name = "ticketing"
urlpatterns = [path("images/<uuid:job_id>/<int:position>/", views.image, name="image")]
