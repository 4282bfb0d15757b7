"""Put the web application together: services, checks, pages."""

from __future__ import annotations

from flask import Flask
from flask_htmx import HTMX
from jinja2 import StrictUndefined

from appliance.clock import Clock
from appliance.config import Config
from appliance.sealing import Sealer, derived, load_master_key
from appliance.store.database import Store, open_store
from web import access, assets, errors, formats, listing, navigation, once, security, viewer
from web.services import EXTENSION, IS_SERVING, OFF_LOOP, Services
from web.views import VIEWS

_MOST_BYTES = 1 << 20


def create_app(config: Config, clock: Clock, store: Store | None = None) -> Flask:
    """Return the application; ``store`` None opens the configuration's own."""
    app = Flask("web")
    key = load_master_key(config)
    app.secret_key = derived(key, "web flashes")
    app.config.update(
        MAX_CONTENT_LENGTH=_MOST_BYTES,
        MAX_FORM_MEMORY_SIZE=_MOST_BYTES,
        MAX_FORM_PARTS=500,
        SESSION_COOKIE_NAME="gatepost_flash",  # holds messages only; sign-ins are in the store
        SESSION_COOKIE_SECURE=config.public_url.startswith("https:"),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.extensions[IS_SERVING] = lambda: True  # gunicorn_conf.py puts the worker's here,
    app.extensions[OFF_LOOP] = lambda work: work()  # and gevent's thread pool here
    app.extensions[EXTENSION] = Services(
        config=config,
        clock=clock,
        store=store if store is not None else open_store(config.store_url),
        sealer=Sealer(key),
        is_serving=lambda: bool(app.extensions[IS_SERVING]()),
    )
    HTMX(app)
    for part in (assets, formats, listing, navigation, viewer, errors, security):
        part.install(app)
    app.after_request(once.forget)
    for view in VIEWS:
        app.register_blueprint(view.blueprint)
    access.install(app)
    return app
