"""django-q2 as it comes, in a project of its own on a database of its own: no bulkops in it."""
