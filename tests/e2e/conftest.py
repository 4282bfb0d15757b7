"""Fixtures of the end-to-end tests; what they are made of is in tests/harness/gateway.py."""

from tests.harness.gateway import gateway, shared_gateway

__all__ = ["gateway", "shared_gateway"]
