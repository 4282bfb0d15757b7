"""What a text may show to one session: said by ``appliance.masking.texts``, for policy test too."""

from __future__ import annotations

from appliance.masking.texts import (
    MASKING,
    NAME_SETTINGS,
    UNMASKED,
    Masked,
    MaskSets,
    TextMasks,
    again,
    changes_names,
    dirties,
    is_opaque,
    is_shared,
    is_touched,
    refused,
    with_mask,
)

__all__ = [
    "MASKING",
    "NAME_SETTINGS",
    "UNMASKED",
    "MaskSets",
    "Masked",
    "TextMasks",
    "again",
    "changes_names",
    "dirties",
    "is_opaque",
    "is_shared",
    "is_touched",
    "refused",
    "with_mask",
]
