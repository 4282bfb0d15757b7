"""Set logging up: one event a line on stderr, as text for people or JSON for machines.

Events never hold statement texts, secrets or cell values; sessions are named by their id.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import orjson
import structlog

_Event = MutableMapping[str, Any]


def configure(log_format: str, process: str) -> None:
    """Send structlog's and the standard library's events to stderr.

    ``log_format`` is "text" or "json"; ``process`` names what runs here (``proxy``, ``web``).
    """
    # Local variables may hold secrets and rows.
    without_locals = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _Named(process),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=40)
        if log_format == "text"
        else structlog.processors.JSONRenderer(serializer=_json)
    )
    faults: list[structlog.typing.Processor] = (
        [] if log_format == "text" else [structlog.processors.ExceptionRenderer(without_locals)]
    )
    structlog.configure(
        processors=[*shared, *faults, _one_line, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *faults,
                _one_line,
                last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)


class _Named:
    """Put the process's name into every event, unless the event names one."""

    def __init__(self, process: str) -> None:
        self._process = process

    def __call__(self, _logger: Any, _method: str, event: _Event) -> _Event:
        event.setdefault("process", self._process)
        return event


def _one_line(_logger: Any, _method: str, event: _Event) -> _Event:
    """Keep what others wrote on one line: a line break would forge an event."""
    for key, value in event.items():
        if isinstance(value, str) and key != "exception" and not value.isprintable():
            event[key] = "".join(map(_visible, value))
    return event


def _visible(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]


def _json(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()
