"""Servers on real sockets of this machine that stand in for the outside world in tests."""

from tests.servers.dialects import Answer
from tests.servers.mock_provider import MockProvider, Received

__all__ = ["Answer", "MockProvider", "Received"]
