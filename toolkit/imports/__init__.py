"""History from other tools: their logs as rows of `calls`, marked `source = 'import'`.

`call_import.py` recognizes a file and keeps what is new; each format has a module of its own.
"""

from toolkit.imports.call_import import ImportReport, import_calls

__all__ = ["ImportReport", "import_calls"]
