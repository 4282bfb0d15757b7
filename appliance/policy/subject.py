"""Who acts, on what, as what: the session's side of a decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.entities import Grant, Identity, Target

if TYPE_CHECKING:
    from appliance.identity.login import Admission


@dataclass(frozen=True, slots=True)
class Subject:
    """A session as rules see it.

    ``role``: the upstream role that logged in. ``acting_role``: the one that SET ROLE made
    current, "" = the same. ``application_name`` and ``source`` None: not known (a trial).
    """

    identity: Identity
    target: Target
    database: str
    role: str
    grant: Grant | None
    granted_roles: frozenset[str]
    application_name: str | None
    source: str | None
    acting_role: str = ""

    @property
    def roles(self) -> frozenset[str]:
        """Return every role whose privileges a statement may use now."""
        return frozenset({self.role, self.acting_role} - {""})

    @classmethod
    def of(cls, admission: Admission, acting_role: str = "") -> Subject:
        """Return the subject of an admitted session."""
        return cls(
            identity=admission.identity,
            target=admission.target,
            database=admission.database,
            role=admission.role.name,
            grant=admission.grant,
            granted_roles=admission.granted_roles,
            application_name=admission.request.application_name,
            source=admission.request.source,
            acting_role=acting_role,
        )
