"""One blueprint per noun: parse, authorise, one service, render."""

from web.views import (
    audit,
    credentials,
    grants,
    groups,
    health,
    home,
    identities,
    my_access,
    policies,
    policy_rules,
    settings,
    setup,
    sign_in,
    target_roles,
    targets,
    try_box,
)

VIEWS = (
    health,
    sign_in,
    setup,
    home,
    identities,
    credentials,
    grants,
    groups,
    targets,
    target_roles,
    settings,
    audit,
    my_access,
    policies,
    policy_rules,
    try_box,
)
