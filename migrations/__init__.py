"""The store's schema, step by step; run by ``appliance.store.migrate``."""
