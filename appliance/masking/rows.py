"""Rewrite runs of DataRow messages: compiled where the extension was built, else in Python.

Both give the same bytes; the tests hold each against the other.
"""

from __future__ import annotations

from appliance.masking.rows_python import PythonRowMasker

RowMasker = PythonRowMasker
IMPLEMENTATION = "pure Python"
