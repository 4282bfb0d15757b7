"""Rewrite runs of DataRow messages: compiled where the extension was built, else in Python.

Both give the same bytes; the tests hold each against the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.masking.rows_python import PythonRowMasker, end_of_run

if TYPE_CHECKING:
    RowMasker = PythonRowMasker
    IMPLEMENTATION: str
else:
    try:
        from appliance.masking._rows import CompiledRowMasker as RowMasker
        from appliance.masking._rows import end_of_run

        IMPLEMENTATION = "compiled"
    except ImportError:  # it was installed without a compiler: slower, but the same
        RowMasker = PythonRowMasker
        IMPLEMENTATION = "pure Python"

__all__ = ["IMPLEMENTATION", "RowMasker", "end_of_run"]
