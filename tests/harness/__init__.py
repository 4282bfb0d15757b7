"""What the tests share: real servers, fresh databases, polling."""
