"""Addresses of the provider, below `payments/`."""

from django.urls import path

from payments import views

app_name = "payments"
urlpatterns = [path("refunds/", views.refunds, name="refunds")]
