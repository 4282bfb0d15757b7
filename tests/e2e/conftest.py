"""Fixtures of the end-to-end tests; what they are made of is in tests/harness/gateway.py."""

from tests.e2e.held import holding, orders
from tests.e2e.masked.running import masking_lab
from tests.e2e.masked_people import people
from tests.harness.gateway import gateway, shared_gateway

__all__ = ["gateway", "holding", "masking_lab", "orders", "people", "shared_gateway"]
