"""Requests as OpenTelemetry traces: a span each, and below it what it spent its time on. Sent by OTLP over HTTP."""

from __future__ import annotations

from raytune_app.errors import InputError
from serving.watch.watching import Note

SERVICE = "raytune"


class Traces:
    """A watcher that makes spans of a note, after the request; the SDK sends them from a thread of its own.

    Sampling and headers are the SDK's to read from the OTEL_* variables.

    Args:
        url: where traces are sent, such as http://127.0.0.1:4318/v1/traces.

    Raises:
        InputError: the SDK or its OTLP exporter is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            remedy = "pip install opentelemetry-exporter-otlp-proto-http, on every node"
            raise InputError("traces need OpenTelemetry's SDK and its OTLP exporter", remedy) from error

        self._provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
        self._tracer = self._provider.get_tracer(SERVICE)

    def wants(self) -> bool:
        return True  # the SDK draws its own sample

    def __call__(self, note: Note) -> None:
        from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract(note.parent)
        verb = note.path.rpartition("/")[2]
        attributes: dict[str, str | int] = {
            "http.request.method": "POST",
            "http.response.status_code": note.status,
            "http.request.body.size": note.body_bytes,
            "raytune.request_id": note.id,
            **({"raytune.model": note.model, "raytune.version": note.version} if note.model else {}),
        }
        span = self._tracer.start_span(
            verb, parent, SpanKind.SERVER, attributes, start_time=note.unix_ns, record_exception=False
        )
        inside = set_span_in_context(span)
        for name, start, end in _phases(note):
            self._tracer.start_span(name, inside, start_time=note.at_ns(start)).end(note.at_ns(end))
        if note.status >= 500 or not note.status:
            span.set_status(StatusCode.ERROR)
        span.end(note.at_ns(note.end))

    def stop(self) -> None:
        """Send what was noted so far, or lose it."""
        self._provider.shutdown()


def _phases(note: Note) -> list[tuple[str, float, float]]:
    """Reading, waiting for a batch, and computing it, with when each began and ended."""
    if not note.computed:
        return []
    begun = max(note.read, note.computed - note.compute_s)
    return [("read", note.start, note.read), ("queue", note.read, begun), ("compute", begun, note.computed)]
