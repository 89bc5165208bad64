"""A project whose users are its own: known by their e-mail address, keyed by a UUID."""
