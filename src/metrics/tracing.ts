/** What a tracer does for the service. `app/tracing.ts` has the one that sends traces; without it nothing is traced. */
export type Tracing = {
  /** Runs `work` within a span, which fails if `work` does. */
  span<T>(name: string, attributes: Attributes, work: () => Promise<T>): Promise<T>;
  /** What a log line says of the span in which it is written. */
  logFields(): Record<string, string>;
  /** The headers by which another service continues the trace (W3C Trace Context). */
  headers(): Record<string, string>;
};

type Attributes = Record<string, string | number>;

let tracing: Tracing | undefined;

/** Has this process traced from now on; `undefined`: no longer. */
export function traceBy(given: Tracing | undefined): void {
  tracing = given;
}

/** Whether this process is traced. */
export function isTraced(): boolean {
  return tracing !== undefined;
}

/** Runs `work` within a span, if this process is traced. Names and attributes hold no secret and no person. */
export function traced<T>(name: string, attributes: Attributes, work: () => Promise<T>): Promise<T> {
  return tracing === undefined ? work() : tracing.span(name, attributes, work);
}

/** The headers by which a receiver continues the trace; none where this process is not traced. */
export function traceHeaders(): Record<string, string> {
  return tracing?.headers() ?? {};
}

/** What a log line says of its trace. */
export function traceFields(): Record<string, string> {
  return tracing?.logFields() ?? {};
}
