"""The rooms' tests share the run's one server."""

from tests.local_model import local_server, shared_local

__all__ = ["local_server", "shared_local"]
