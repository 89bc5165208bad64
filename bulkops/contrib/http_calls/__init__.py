"""One HTTP request for each row of a table: `call-http-api`, and `call-http-api-once` for services without keys."""
