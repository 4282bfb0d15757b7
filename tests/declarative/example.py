"""The contract's example of a configuration file, as far as this version knows its keys."""

from __future__ import annotations

FILE = """
targets:
  - name: shop
    host: 127.0.0.1
    database: shop
    environment: production
    roles:
      - {name: app_ro, password_env: SHOP_RO}
      - {name: app_rw, password: rw-secret}
groups:
  - {name: analysts, claim: analysts}
  - {name: dba, members: [bo@example.com]}
  - {name: pci}
identities:
  - {name: ana@example.com, kind: human, groups: [analysts]}
  - {name: bo@example.com, kind: human, permission_roles: [approver]}
  - name: ci-nightly
    kind: ci
    owner: ana@example.com
    backup_owner: bo@example.com
    purpose: nightly revenue export
    environment: production
    application_names: ["ci-pipeline-*"]
    sources: ["10.2.0.0/16", "127.0.0.1/32"]
    expires: 2027-06-30
    profile: off
    credentials:
      - {password_env: CI_PASSWORD, expires: 2027-01-31}
grants:
  - {who: "group:analysts", target: shop, role: app_ro, databases: [shop]}
  - {who: "identity:ci-nightly", target: shop, role: app_rw, expires: 2027-01-31, max_session: 2h,
     sources: ["10.2.0.0/16", "127.0.0.1/32"], application_names: ["ci-*"],
     hours: "Mon-Fri 00:00-06:00 Europe/Oslo"}
policies:
  - name: no-ddl-from-machines
    who: ["kind:ci", "kind:bot", "kind:service", "kind:agent"]
    commands: [ddl, dcl]
    action: block
    message: schema changes go through the migration pipeline
  - name: bulk-writes-need-a-human
    who: ["*"]
    targets: [shop]
    commands: [delete, update]
    without_where: true
    action: approve
    approvers: "group:dba"
    timeout: 10m
masking:
  - name: card-numbers
    target: shop
    columns: ["public.customers.card_number", "*.*.ssn"]
    method: partial
    mode: lenient
    exempt: ["group:pci"]
settings:
  default_action: allow
  smtp: {host: localhost, port: 1025, from: gatepost@example.com}
  recording: {durability: written, results: off, retention: 400d}
"""
ENVIRON = {"SHOP_RO": "ro-secret", "CI_PASSWORD": "machine-secret"}
