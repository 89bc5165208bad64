"""The pages, their live fragments and the health checks: a face over the services."""
