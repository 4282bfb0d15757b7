"""The domain of Gatepost and its services: no sockets to clients, no pages."""
