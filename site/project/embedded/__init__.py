"""A private PostgreSQL for development and tests, as a database engine: connecting starts the server.

`places` says where everything lies, `programs` finds and runs the server's programs, `locks` counts who uses it,
`server` starts and stops it, and `base` is what Django loads for ENGINE "project.embedded". Nothing listens on TCP;
the socket belongs to one account, and peer authentication lets in that account alone.
"""


def stop_if_unused() -> bool:
    """Stop the embedded server unless another process uses it; False where it goes on, or where there is none."""
    from django.db import connections

    from project.embedded.places import DATABASE_ENGINE
    from project.embedded.server import server_for

    stopped = False
    for alias, config in connections.settings.items():
        if config["ENGINE"] == DATABASE_ENGINE:
            connections[alias].close()
            stopped = server_for(**config["EMBEDDED"]).stop_if_unused()
    return stopped
