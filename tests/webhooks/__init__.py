"""Webhooks and e-mails at the end."""
