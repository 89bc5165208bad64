"""What Django loads for ENGINE "project.embedded": its PostgreSQL backend, which starts the server when it connects."""

from typing import Any

from django.db.backends.postgresql import base

from project.embedded.places import EmbeddedPostgresError
from project.embedded.server import server_for


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's own wrapper in everything but the making of a connection."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect; where nothing answers, start the server and connect again."""
        refused = self.Database.OperationalError
        server = server_for(**self.settings_dict["EMBEDDED"])
        try:
            # Counted before connecting, so that nobody stops the server in between.
            server.join()
            try:
                return super().get_new_connection(conn_params)
            except refused:
                server.ensure()
            return super().get_new_connection(conn_params)
        except EmbeddedPostgresError as error:
            # A kind of error that every caller expects of a database.
            raise refused(str(error)) from error
