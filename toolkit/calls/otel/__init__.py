"""OpenTelemetry: spans and metrics of calls by the GenAI semantic conventions.

`tracing.py` observes every request after it has ended, and needs nothing that is not installed. The
rest needs the extra `otel` and is loaded once spans are wanted.
"""
