"""Blocking clients of a target: the connection test, its catalog, its secrets."""

from __future__ import annotations

from appliance.targets.catalogs import ask, load_catalog
from appliance.targets.check import Step, check
from appliance.targets.secrets import open_secret

__all__ = ["Step", "ask", "check", "load_catalog", "open_secret"]
