"""The webhook's plain JSON with stable fields, and its signature (pure). See notifications.md."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from typing import Any

from appliance.approvals.requests import Request, RequestKind
from appliance.notify.notice import excerpt
from appliance.store.outbox import Event

VERSION = 1
_LINES = 200
SIGNATURE = "X-Gatepost-Signature"


def event(
    kind: Event,
    delivery: str,
    at: datetime,
    request: Request | None,
    public_url: str,
    approvers: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return the body. Fields are only ever added; parameters and rows are never among them."""
    body: dict[str, Any] = {
        "version": VERSION,
        "id": delivery,
        "event": kind.value,
        "at": _moment(at),
    }
    if request is None:
        return body
    body["request"] = _request(request, public_url)
    body["approvers"] = list(approvers)
    body["decision"] = None
    if not request.state.is_open:
        body["decision"] = {
            "by": request.decided_by,
            "via": request.decided_via,
            "reason": request.decision_reason,
            "at": _moment(request.decided_at),
        }
    return body


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """Return ``t=TIMESTAMP,v1=HEX``: HMAC-SHA256 over ``TIMESTAMP.BODY``."""
    signed = str(timestamp).encode() + b"." + body
    return f"t={timestamp},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def _request(request: Request, public_url: str) -> dict[str, Any]:
    is_access = request.kind is RequestKind.ACCESS
    statement, is_whole = excerpt("" if is_access else request.text, _LINES)
    return {
        "id": request.id,
        "url": f"{public_url}/approvals/{request.id}",
        "kind": request.kind.value,
        "state": request.state.value,
        "identity": request.identity,
        "identity_kind": request.identity_kind,
        "owner": request.owner,
        "target": request.target,
        "environment": request.environment,
        "database": request.database,
        "role": request.role,
        "source": request.source,
        "application_name": request.application_name,
        "reason": request.reason,
        "rule": request.rule,
        "why": request.why,
        "session": request.session_id or None,
        "fingerprint": request.fingerprint or None,
        "statement": statement or None,
        "statement_is_whole": is_whole,
        "duration_s": request.detail.get("duration_s"),
        "parameters": len(request.parameters),
        "created_at": _moment(request.created_at),
        "expires_at": _moment(request.expires_at),
    }


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
