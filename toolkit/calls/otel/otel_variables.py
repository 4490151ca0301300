"""What OpenTelemetry's own variables and the settings say: where to, what, and what not."""

from __future__ import annotations

import os
from typing import Final, Literal

from toolkit.settings import Settings

Signal = Literal["traces", "metrics"]

_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_PROTOCOL: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"
_TIMEOUT: Final = "OTEL_EXPORTER_OTLP_TIMEOUT"
_CONTENT: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_CONTENT_VALUES: Final = ("true", "1", "span_only", "span_and_event")


def is_disabled() -> bool:
    """Whether OpenTelemetry is switched off."""
    return _value("OTEL_SDK_DISABLED") == "true"


def has_collector(settings: Settings) -> bool:
    """Whether a collector is named for any signal."""
    return is_signal_wanted("traces", settings) or is_signal_wanted("metrics", settings)


def is_signal_wanted(signal: Signal, settings: Settings) -> bool:
    """Whether a collector is named for a signal, and the signal is not switched off."""
    name = signal.upper()
    if _value(f"OTEL_{name}_EXPORTER") == "none":
        return False
    special = f"OTEL_EXPORTER_OTLP_{name}_ENDPOINT"
    return bool(settings.otlp_endpoint or _value(_ENDPOINT) or _value(special))


def find_endpoint(signal: Signal, settings: Settings) -> str | None:
    """The address that the setting gives for a signal; None: the exporter reads the variables."""
    base = settings.otlp_endpoint.rstrip("/")
    return f"{base}/v1/{signal}" if base else None


def has_timeout(signal: Signal) -> bool:
    """Whether a variable limits the time of an export."""
    return bool(_value(_TIMEOUT) or _value(f"OTEL_EXPORTER_OTLP_{signal.upper()}_TIMEOUT"))


def find_unsupported_protocol() -> str | None:
    """The protocol that is asked for, where it is not OTLP over HTTP with protobuf."""
    protocol = _value(_PROTOCOL)
    return protocol if protocol not in ("", "http/protobuf") else None


def names_service() -> bool:
    """Whether the name of the service is given."""
    return bool(_value("OTEL_SERVICE_NAME")) or "service.name=" in _value(
        "OTEL_RESOURCE_ATTRIBUTES"
    )


def wants_content(settings: Settings) -> bool:
    """Whether prompts and answers are exported: they are kept, and someone asked for it."""
    is_asked = settings.otlp_content or _value(_CONTENT) in _CONTENT_VALUES
    return settings.recording == "full" and is_asked


def _value(name: str) -> str:
    return os.environ.get(name, "").strip().lower()
