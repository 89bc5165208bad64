"""Programs of other systems. They run in the peers' own environment, so nothing here knows Django or bulkops."""
