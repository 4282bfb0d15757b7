"""Tell people by mail and webhook that something waits for them, and how it ended."""
