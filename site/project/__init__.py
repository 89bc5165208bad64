"""The site that runs bulkops: its settings, URLs, WSGI entry, embedded database and development command."""
