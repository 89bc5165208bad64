"""Template tags of bulkops."""
