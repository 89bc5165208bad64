"""What keeps a deploy safe: rules for migrations, and the code of former releases to run on newer tables."""
