"""What gunicorn loads: the application by the environment's settings and the system's clock."""

from __future__ import annotations

from appliance.clock import clock_from_environment
from appliance.config import config_from_environment
from appliance.logging import configure
from web.app import create_app

_config = config_from_environment()
configure(_config.log_format, "web")
app = create_app(_config, clock_from_environment())
