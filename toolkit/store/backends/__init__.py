"""The databases behind a journal: a file, or one that several homes and hosts share.

`backend` says what each can do and has the file. `address` reads the store URL and finds DuckDB's
extensions; `quack_backend`, `quack_client` and `quack_server` are the two sides of a server;
`lake` and `lake_backend` are DuckLake; `move` copies one kind into another.
"""
