import { FastifyOtelInstrumentation } from "@fastify/otel";
import { context, propagation, type Span, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import type { FastifyPluginCallback } from "fastify";
import { VERSION } from "../lib/version.ts";
import { traceBy } from "../metrics/tracing.ts";

export type RunningTraces = {
  /** Traces each request of the server that registers it, and continues its caller's trace. */
  plugin: FastifyPluginCallback;
  /** Sends what is left. */
  stop(): Promise<void>;
};

/** Only these are spans of their own: health and metrics would be most of all traces. */
const UNTRACED = new Set(["/livez", "/readyz", "/metrics"]);

/**
 * Sends traces to OTEL_EXPORTER_OTLP_ENDPOINT, by OTLP over HTTP. OpenTelemetry reads its other variables itself
 * (OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS). Import this file only where that is set.
 */
export function startTracing(endpoint: string): RunningTraces {
  const service = resourceFromAttributes({ "service.name": "countersign", "service.version": VERSION });
  const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/$/, "")}/v1/traces` });
  const provider = new NodeTracerProvider({
    resource: service.merge(defaultResource()),
    spanProcessors: [new BatchSpanProcessor(exporter)],
  });
  provider.register();
  const tracer = trace.getTracer("countersign", VERSION);
  traceBy({
    span: (spanName, attributes, work) =>
      tracer.startActiveSpan(spanName, { attributes }, (span) => endAfter(span, work)),
    logFields() {
      const ids = trace.getActiveSpan()?.spanContext();
      return ids === undefined ? {} : { trace_id: ids.traceId, span_id: ids.spanId };
    },
    headers() {
      const headers: Record<string, string> = {};
      propagation.inject(context.active(), headers);
      return headers;
    },
  });
  const fastify = new FastifyOtelInstrumentation({
    // The address can hold a secret: the plugin would send it whole.
    requestHook: (span, request) => {
      span.setAttribute("url.path", request.routeOptions.url ?? "none");
    },
    ignorePaths: ({ url }: { url: string }) => UNTRACED.has(url),
  });
  return {
    plugin: fastify.plugin() as FastifyPluginCallback,
    async stop() {
      traceBy(undefined);
      // A collector that is away must not hold up the stop.
      await provider.shutdown().catch(() => {});
    },
  };
}

async function endAfter<T>(span: Span, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.name : "" });
    throw error;
  } finally {
    span.end();
  }
}
