"""Node tag -> handler: every statement of PostgreSQL's grammar, classified on purpose.

A tag that is not here is unknown. ``tests/sql/test_every_statement.py`` walks the grammar's own
list of tags and fails when one is missing.
"""

from __future__ import annotations

from appliance.sql import role_statements as roles
from appliance.sql import session_statements as session
from appliance.sql import utility
from appliance.sql.facts import EffectClass as C
from appliance.sql.queries import QUERY_HANDLERS
from appliance.sql.utility import about_object, naming_functions, touching
from appliance.sql.walker import Handler

QUERY_TAGS = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})

# Statements that by themselves change nothing that the meaning of later texts depends on; what
# they call or contain may.
CALM_TAGS = QUERY_TAGS | {
    "ExplainStmt",
    "DeclareCursorStmt",
    "ClosePortalStmt",
    "CopyStmt",
    "ListenStmt",
    "UnlistenStmt",
    "NotifyStmt",
    "VariableShowStmt",
    "LockStmt",
    "CheckPointStmt",
}

# Tags that a text never has as a statement: parts of others, or made later than by the grammar.
NEVER_STATEMENTS = frozenset({"RawStmt", "SetOperationStmt", "ReturnStmt", "PLAssignStmt"})

# Statements whose effects come from what they touch; where they touch nothing, from their class.
_DDL_TOUCHING = (
    "AlterDomainStmt",
    "AlterExtensionStmt",
    "AlterPolicyStmt",
    "AlterPublicationStmt",
    "AlterSeqStmt",
    "AlterStatsStmt",
    "AlterTSConfigurationStmt",
    "AlterTSDictionaryStmt",
    "AlterTableMoveAllStmt",
    "AlterTableSpaceOptionsStmt",
    "AlterDatabaseStmt",
    "AlterDatabaseRefreshCollStmt",
    "AlterCollationStmt",
    "AlterEnumStmt",
    "AlterEventTrigStmt",
    "CreateDomainStmt",
    "CreateEnumStmt",
    "CreateOpFamilyStmt",
    "CreatePolicyStmt",
    "CreatePublicationStmt",
    "CreateStatsStmt",
    "CreateTableSpaceStmt",
    "CreatedbStmt",
    "DropTableSpaceStmt",
    "DropdbStmt",
    "IndexStmt",
    "ReplicaIdentityStmt",
    "RuleStmt",
)
_DCL_TOUCHING = ("AlterDefaultPrivilegesStmt", "DropOwnedStmt", "DropRoleStmt", "ReassignOwnedStmt")

STATEMENTS: dict[str, tuple[C, Handler]] = {
    "SelectStmt": (C.SELECT, QUERY_HANDLERS["SelectStmt"]),
    "InsertStmt": (C.INSERT, QUERY_HANDLERS["InsertStmt"]),
    "UpdateStmt": (C.UPDATE, QUERY_HANDLERS["UpdateStmt"]),
    "DeleteStmt": (C.DELETE, QUERY_HANDLERS["DeleteStmt"]),
    "MergeStmt": (C.MERGE, QUERY_HANDLERS["MergeStmt"]),
    **{tag: (C.DDL, touching) for tag in _DDL_TOUCHING},
    **{tag: (C.DCL, touching) for tag in _DCL_TOUCHING},
    # objects
    "CreateStmt": (C.DDL, utility.create_table),
    "CreateForeignTableStmt": (C.DDL, utility.create_foreign_table),
    "CreateTableAsStmt": (C.DDL, utility.create_table_as),
    "ViewStmt": (C.DDL, utility.create_view),
    "CreateSeqStmt": (C.DDL, utility.create_sequence),
    "CompositeTypeStmt": (C.DDL, utility.composite_type),
    "CreateSchemaStmt": (C.DDL, utility.create_schema),
    "AlterTableStmt": (C.DDL, utility.alter_table),
    "RefreshMatViewStmt": (C.DDL, utility.refresh),
    "DropStmt": (C.DDL, utility.drop),
    "RenameStmt": (C.DDL, utility.rename),
    "AlterObjectSchemaStmt": (C.DDL, utility.alter_schema),
    "AlterObjectDependsStmt": (C.DDL, about_object(C.DDL)),
    "AlterOwnerStmt": (C.DDL, about_object(C.DDL)),
    "AlterExtensionContentsStmt": (C.DDL, about_object(C.DDL)),
    "CommentStmt": (C.DDL, about_object(C.DDL)),
    "TruncateStmt": (C.TRUNCATE, utility.truncate),
    "DefineStmt": (C.DDL, utility.define),
    "AlterTypeStmt": (C.DDL, utility.options_only),
    "AlterOperatorStmt": (C.DDL, utility.options_only),
    "CreateOpClassStmt": (C.DDL, utility.operator_class),
    "CreateRangeStmt": (C.DDL, utility.options_only),
    "AlterOpFamilyStmt": (C.DDL, utility.operator_class),
    "CreateConversionStmt": (C.DDL, naming_functions("func_name")),
    "CreateCastStmt": (C.DDL, naming_functions("func")),
    "CreateTransformStmt": (C.DDL, naming_functions("fromsql", "tosql")),
    "CreateAmStmt": (C.DDL, naming_functions("handler_name")),
    "CreateTrigStmt": (C.DDL, naming_functions("funcname")),
    "CreateEventTrigStmt": (C.DDL, naming_functions("funcname")),
    "CreateFunctionStmt": (C.DDL, session.create_function),
    "AlterFunctionStmt": (C.DDL, session.alter_function),
    # roles and rights
    "CreateRoleStmt": (C.DCL, roles.create_role),
    "AlterRoleStmt": (C.DCL, roles.alter_role),
    "AlterRoleSetStmt": (C.DCL, roles.alter_role_set),
    "GrantRoleStmt": (C.DCL, roles.grant_role),
    "GrantStmt": (C.DCL, utility.grant),
    "SecLabelStmt": (C.DCL, about_object(C.DCL)),
    # what built-in rules watch
    "AlterDatabaseSetStmt": (C.DDL, roles.alter_database_set),
    "AlterSystemStmt": (C.DDL, roles.alter_system),
    "LoadStmt": (C.DDL, roles.load),
    "CreateExtensionStmt": (C.DDL, roles.create_extension),
    "CreatePLangStmt": (C.DDL, roles.create_language),
    "CreateSubscriptionStmt": (C.DDL, roles.subscription),
    "AlterSubscriptionStmt": (C.DDL, roles.subscription),
    "DropSubscriptionStmt": (C.DDL, roles.subscription),
    "CreateFdwStmt": (C.DDL, roles.foreign),
    "AlterFdwStmt": (C.DDL, roles.foreign),
    "CreateForeignServerStmt": (C.DDL, roles.foreign),
    "AlterForeignServerStmt": (C.DDL, roles.foreign),
    "CreateUserMappingStmt": (C.DDL, roles.foreign),
    "AlterUserMappingStmt": (C.DDL, roles.foreign),
    "DropUserMappingStmt": (C.DDL, roles.foreign),
    "ImportForeignSchemaStmt": (C.DDL, roles.foreign),
    # the session
    "VariableSetStmt": (C.SESSION, session.variable_set),
    "VariableShowStmt": (C.SESSION, session.variable_show),
    "DiscardStmt": (C.SESSION, session.discard),
    "TransactionStmt": (C.TRANSACTION, session.transaction),
    "ConstraintsSetStmt": (C.TRANSACTION, session.constraints_set),
    "ExplainStmt": (C.EXPLAIN, session.explain),
    "PrepareStmt": (C.PREPARE, session.prepare),
    "ExecuteStmt": (C.EXECUTE, session.execute),
    "DeallocateStmt": (C.PREPARE, session.deallocate),
    "DeclareCursorStmt": (C.CURSOR, session.declare_cursor),
    "FetchStmt": (C.CURSOR, session.fetch),
    "ClosePortalStmt": (C.CURSOR, session.close),
    "CopyStmt": (C.COPY_OUT, session.copy),
    "DoStmt": (C.DO, session.do),
    "CallStmt": (C.CALL, session.call),
    "ListenStmt": (C.LISTEN, session.session_only(C.LISTEN)),
    "UnlistenStmt": (C.LISTEN, session.session_only(C.LISTEN)),
    "NotifyStmt": (C.LISTEN, session.session_only(C.LISTEN)),
    "LockStmt": (C.LOCK, touching),
    # maintenance: index expressions and the like run on the way
    "VacuumStmt": (C.MAINTENANCE, touching),
    "ClusterStmt": (C.MAINTENANCE, touching),
    "ReindexStmt": (C.MAINTENANCE, touching),
    "CheckPointStmt": (C.MAINTENANCE, touching),
}

# Statements are met inside of others too: in EXPLAIN, rules, bodies, CREATE SCHEMA.
HANDLERS: dict[str, Handler] = {
    **{tag: handler for tag, (_, handler) in STATEMENTS.items()},
    **QUERY_HANDLERS,
}
