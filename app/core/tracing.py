"""Traces of requests and jobs by OpenTelemetry, where the settings switch them on; else nothing of it is imported.

Where they go is told by OpenTelemetry's own variables, such as OTEL_EXPORTER_OTLP_ENDPOINT.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from app.core.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

TRACEPARENT = "traceparent"
"""Header, and field of a job's first event, by which a trace goes on elsewhere (W3C Trace Context)."""

FLUSH_MS = 2000


class TracingUnavailable(RuntimeError):
    """Tracing is on and its packages are not installed."""


class _Tracing:
    """Of this process."""

    provider: "TracerProvider | None" = None


def start_tracing(settings: Settings, service: str) -> None:
    """Once per process, after any fork. Raises TracingUnavailable."""
    if not settings.tracing or _Tracing.provider is not None:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracingUnavailable("XTALFORGE_TRACING is on: install it with `pip install 'xtalforge[otel]'`.") from error
    resource = Resource.create({"service.name": service, "service.version": version("xtalforge")})
    _Tracing.provider = TracerProvider(resource=resource)
    _Tracing.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))


@contextmanager
def span(
    name: str, parent: Mapping[str, str], *, is_request: bool = False, **attributes: Any
) -> "Iterator[Span | None]":
    """A span that goes on where `parent` (with its `traceparent`) says; None where nothing is traced."""
    if _Tracing.provider is None:
        yield None
        return
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind

    kind = SpanKind.SERVER if is_request else SpanKind.CONSUMER
    tracer = _Tracing.provider.get_tracer("xtalforge")
    with tracer.start_as_current_span(name, extract(parent), kind, attributes) as opened:
        yield opened
    if not is_request:  # a worker may be ended before the next round of the exporter
        _Tracing.provider.force_flush(FLUSH_MS)


def traceparent_here() -> dict[str, str]:
    """What makes a trace go on elsewhere; empty where nothing is traced."""
    if _Tracing.provider is None:
        return {}
    from opentelemetry.propagate import inject

    carrier: dict[str, str] = {}
    inject(carrier)
    return {name: value for name, value in carrier.items() if name == TRACEPARENT}


def stop_tracing() -> None:
    """Send what is left."""
    if _Tracing.provider is not None:
        _Tracing.provider.shutdown()
        _Tracing.provider = None
