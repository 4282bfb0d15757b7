"""Kinds of statements (libpg_query's node tags) by what a masked session does with them."""

from __future__ import annotations

from typing import Final

# Statements that give no rows, whatever they are about.
ROWLESS: Final = frozenset(
    {
        "TransactionStmt",
        "VariableSetStmt",
        "DiscardStmt",
        "DeallocateStmt",
        "ClosePortalStmt",
        "ListenStmt",
        "UnlistenStmt",
        "NotifyStmt",
        "DeclareCursorStmt",
        "PrepareStmt",
        "ConstraintsSetStmt",
        "LockStmt",
    }
)
# Statements that can be asked about in the same transaction before they run; of the others some
# must not be in a transaction block.
BOUND: Final = frozenset(
    {
        "SelectStmt",
        "InsertStmt",
        "UpdateStmt",
        "DeleteStmt",
        "MergeStmt",
        "FetchStmt",
        "ExecuteStmt",
        "ExplainStmt",
        "CopyStmt",
        "CreateTableAsStmt",
        "ViewStmt",
        "PrepareStmt",
        "DeclareCursorStmt",
    }
)
