"""Every statement of PostgreSQL's grammar is classified, and every relation in it is seen."""

from __future__ import annotations

from postgast import pg_query_pb2

from appliance.sql.facts import EffectClass
from appliance.sql.statements import CALM_TAGS, HANDLERS, NEVER_STATEMENTS, QUERY_TAGS, STATEMENTS

MESSAGES = pg_query_pb2.DESCRIPTOR.message_types_by_name
STATEMENT_TAGS = {name for name in MESSAGES if name.endswith("Stmt")}

# Fields that hold a RangeVar without a tag around it, and who looks at them by name. All others
# are found by the walk, which takes every node with a relname for a relation.
BY_NAME = {
    "IntoClause.rel",
    "InsertStmt.relation",
    "UpdateStmt.relation",
    "DeleteStmt.relation",
    "MergeStmt.relation",
    "CopyStmt.relation",
    "CreateStmt.relation",
    "CreateSeqStmt.sequence",
    "CompositeTypeStmt.typevar",
    "ViewStmt.view",
    "RefreshMatViewStmt.relation",
    "AlterTableStmt.relation",
}


def test_every_statement_of_the_grammar_has_a_class_or_cannot_be_one() -> None:
    missing = STATEMENT_TAGS - set(STATEMENTS) - NEVER_STATEMENTS
    assert not missing
    assert not set(STATEMENTS) & NEVER_STATEMENTS


def test_no_tag_in_the_table_is_unknown_to_the_grammar() -> None:
    assert set(STATEMENTS) <= STATEMENT_TAGS
    assert set(STATEMENTS) >= CALM_TAGS >= QUERY_TAGS
    assert all(tag in MESSAGES for tag in HANDLERS if tag[0].isupper())


def test_no_statement_is_classified_as_unknown_or_by_accident_as_a_read() -> None:
    assert all(cls is not EffectClass.UNKNOWN for cls, _ in STATEMENTS.values())
    reads = {tag for tag, (cls, _) in STATEMENTS.items() if cls is EffectClass.SELECT}
    assert reads == {"SelectStmt"}


def test_only_relations_have_a_relname_in_what_the_parser_makes() -> None:
    with_name = {
        name
        for name, message in MESSAGES.items()
        if any(field.name == "relname" for field in message.fields)
    }
    # WithCheckOption is made by the rewriter, not by the grammar
    assert with_name == {"RangeVar", "WithCheckOption"}


def test_fields_that_are_looked_at_by_name_still_hold_relations() -> None:
    holding = {
        f"{name}.{field.json_name}"
        for name, message in MESSAGES.items()
        for field in message.fields
        if field.message_type is not None and field.message_type.name == "RangeVar"
    }
    assert holding >= BY_NAME


def test_queries_stand_untagged_only_where_the_walk_expects_them() -> None:
    untagged = {
        f"{name}.{field.json_name}"
        for name, message in MESSAGES.items()
        for field in message.fields
        if field.message_type is not None
        and field.message_type.name in STATEMENT_TAGS
        and name != "Node"
    }
    assert untagged == {
        "SelectStmt.larg",
        "SelectStmt.rarg",
        "PLAssignStmt.val",  # PL/pgSQL only
        "CreateForeignTableStmt.base",
        "AlterDefaultPrivilegesStmt.action",
        "AlterRoleSetStmt.setstmt",
        "AlterDatabaseSetStmt.setstmt",
        "AlterSystemStmt.setstmt",
        "ParseResult.stmts",
    }


def test_calls_stand_untagged_only_in_call() -> None:
    untagged = {
        f"{name}.{field.json_name}"
        for name, message in MESSAGES.items()
        for field in message.fields
        if field.message_type is not None
        and field.message_type.name == "FuncCall"
        and name != "Node"
    }
    assert untagged == {"CallStmt.funccall"}
