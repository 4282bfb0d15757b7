"""The entries of the navigation: only pages that exist and that the viewer may open."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask, current_app, request, url_for

from web.access import can_open


@dataclass(frozen=True, slots=True)
class Place:
    """A page of the navigation. ``others``: blueprints whose pages light it up too."""

    endpoint: str
    label: str
    icon: str
    others: tuple[str, ...] = ()

    @property
    def section(self) -> str:
        return self.endpoint.partition(".")[0]

    def has(self, blueprint: str | None) -> bool:
        """Return whether the pages of a blueprint belong here."""
        return blueprint == self.section or blueprint in self.others


@dataclass(frozen=True, slots=True)
class Entry:
    """A place as it is shown; ``waiting`` is how many things wait there, 0 for no number."""

    label: str
    icon: str
    url: str
    is_current: bool
    waiting: int = 0


PLACES = (
    Place("home.page", "Home", "house"),
    Place("approvals.page", "Approvals", "inbox", ("pre_approvals",)),
    Place("sessions.page", "Sessions", "square-terminal"),
    Place("identities.page", "Identities", "users", ("credentials", "profiles")),
    Place("targets.page", "Targets", "database", ("target_roles", "grants")),
    Place("reviews.page", "Reviews", "badge-check"),
    Place("findings.page", "Findings", "flag"),
    Place("policies.page", "Policies", "shield-check", ("policy_rules", "try_box", "dry_runs")),
    Place("masking.page", "Masking", "eye-off", ("masking_columns", "masking_rules")),
    Place("groups.page", "Groups", "layers"),
    Place("reports.page", "Reports", "file-text"),
    Place("search.page", "Search", "search"),
    Place("audit.page", "Audit log", "scroll-text"),
    Place("settings.page", "Settings", "settings", ("channels",)),
    Place("my_access.page", "My access", "key-round", ("access_requests", "my_sessions")),
)


def install(app: Flask) -> None:
    """Give templates ``navigation()`` and ``has_page("sessions.page")``."""
    app.jinja_env.globals["navigation"] = navigation
    app.jinja_env.globals["has_page"] = lambda endpoint: can_open(app, endpoint)


def navigation() -> list[Entry]:
    """Return the viewer's entries in their order."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    here = request.blueprint
    waiting = app.extensions.get("gatepost_waiting", {})
    return [
        Entry(
            label=place.label,
            icon=place.icon,
            url=url_for(place.endpoint),
            is_current=place.has(here),
            waiting=waiting[place.section]() if place.section in waiting else 0,
        )
        for place in PLACES
        if can_open(app, place.endpoint)
    ]
