"""PostgreSQL on the wire: what users connect to."""
