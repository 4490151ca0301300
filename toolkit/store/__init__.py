"""The ledger: a SQLite journal that any process can write, in front of one DuckDB file."""
