"""What machines ask: is the page alive, is the gateway ready, and its figures for Prometheus."""

from __future__ import annotations

from flask import Blueprint, Response, abort, jsonify, request
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from appliance.errors import StoreUnavailable
from appliance.store import overview, snapshots, workers
from web.access import public
from web.services import now, services
from web.source import client_address, is_loopback
from web.viewer import current_viewer

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@public
def healthz() -> Response:
    """Say that this process answers; nothing else, so that it is never restarted for others."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
@public
def readyz() -> tuple[Response, int]:
    """Say whether sessions can be served: the store answers and a worker lives."""
    if not services().is_serving():
        return jsonify(status="draining"), 503
    try:
        alive = workers.live(services().store, now())
    except StoreUnavailable:
        return jsonify(status="store unavailable"), 503
    if not alive:
        return jsonify(status="no proxy worker has reported within 5 s"), 503
    return jsonify(status="ready", workers=len(alive)), 200


@blueprint.get("/metrics")
@public
def metrics() -> Response:
    """Return figures; from this machine, or for somebody signed in."""
    if not is_loopback(client_address(request, services().config)) and current_viewer() is None:
        abort(403)
    store = services().store
    registry = CollectorRegistry()
    alive = workers.live(store, now())
    figures = overview.recording_state(store)
    for name, text, value in (
        ("gatepost_workers", "Proxy workers that reported within 5 s", len(alive)),
        ("gatepost_sessions", "Sessions that run now", sum(w.sessions for w in alive)),
        ("gatepost_records", "Records taken into the store so far", figures.records),
        ("gatepost_journals_open", "Journals that are being written", figures.open_journals),
        ("gatepost_snapshot_version", "Version of what decides", snapshots.version(store)),
        (
            "gatepost_workers_behind",
            "Workers that do not have the present version yet",
            sum(w.version < snapshots.version(store) for w in alive),
        ),
    ):
        Gauge(name, text, registry=registry).set(value)
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
