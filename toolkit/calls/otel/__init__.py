"""OpenTelemetry: spans and metrics of calls by the GenAI semantic conventions.

`tracing.py` observes every request after it has ended and is all that other packages import; the
rest needs the extra `otel` and is loaded once spans are wanted.
"""

from toolkit.calls.otel.tracing import Tracing

__all__ = ["Tracing"]
