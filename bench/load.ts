import { once } from "node:events";
import { createConnection } from "node:net";

/** One slice of load; times in milliseconds. */
export type Slice = {
  port: number;
  /** Requests as they go over the wire, in their order. */
  requests: string[];
  /** Whether to begin again after the last one; else the slice ends there. */
  cycle: boolean;
  /** Connections, each with one request under way at a time. */
  callers: number;
  warmUp: number;
  duration: number;
  /** The only status that is not a failure. */
  expected: number;
};

export type SliceResult = {
  /** Answers within the timed part, and how long that was in seconds. */
  answers: number;
  seconds: number;
  p50: number;
  p99: number;
  /** Answers in all, warm-up and end included. */
  all: number;
  /** The first answer with another status, if there was one. */
  unexpected?: string;
};

const DEADLINE = 30_000;

/**
 * Runs a slice: keep-alive connections, the next request when an answer is whole. Written out, as what the load
 * costs is taken from the same cores: autocannon parses in JavaScript, counts latency in whole milliseconds and
 * cuts the last requests off, so that nobody could say how many rows there should be.
 */
async function runSlice(slice: Slice): Promise<SliceResult> {
  const latencies: number[] = [];
  const result: SliceResult = { answers: 0, seconds: 0, p50: 0, p99: 0, all: 0 };
  const begin = performance.now() + slice.warmUp;
  let end = begin + slice.duration;
  let next = 0;

  function take(): string | undefined {
    if (next === slice.requests.length && slice.cycle) next = 0;
    return performance.now() < end ? slice.requests[next++] : undefined;
  }
  function note(status: number, answer: string, sent: number): void {
    const now = performance.now();
    result.all += 1;
    if (status !== slice.expected) result.unexpected ??= answer;
    if (now >= begin && now < end) latencies.push(now - sent);
    if (!slice.cycle && next === slice.requests.length) end = Math.min(end, now);
  }

  const callers = Array.from({ length: slice.callers }, () => call(slice.port, take, note));
  await Promise.all(callers);
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.floor(share * latencies.length)] ?? 0;
  return {
    ...result,
    answers: latencies.length,
    seconds: (end - begin) / 1_000,
    p50: at(0.5),
    p99: at(0.99),
  };
}

/** One caller: sends what `take` gives, one after another, and ends when it gives nothing. */
async function call(
  port: number,
  take: () => string | undefined,
  note: (status: number, answer: string, sent: number) => void,
): Promise<void> {
  const socket = createConnection({ port, host: "127.0.0.1", noDelay: true });
  socket.setTimeout(DEADLINE, () => socket.destroy(new Error(`no answer within ${DEADLINE} ms`)));
  const closed = once(socket, "close");
  let sent = 0;
  let waiting = false;
  let received = "";
  const send = () => {
    const request = take();
    waiting = request !== undefined;
    if (request === undefined) socket.end();
    else socket.write(request, "latin1");
    sent = performance.now();
  };
  socket.setEncoding("latin1");
  socket.on("connect", send);
  socket.on("data", (chunk: string) => {
    received += chunk;
    if (received.length < answerLength(received)) return;
    note(Number(received.slice(9, 12)), received, sent);
    received = "";
    send();
  });
  await closed;
  if (waiting) throw new Error("the server closed a connection without an answer");
}

/** Length of an answer that has begun to arrive; unbounded while its headers are not whole. */
function answerLength(received: string): number {
  const headers = received.indexOf("\r\n\r\n");
  const length = /\r\ncontent-length: (\d+)/i.exec(received.slice(0, headers))?.[1];
  if (headers < 0) return Number.POSITIVE_INFINITY;
  if (length === undefined) throw new Error(`an answer without a length: ${received}`);
  return headers + 4 + Number(length);
}

process.on("message", (slice: Slice) => {
  runSlice(slice).then(
    (result) => process.send?.(result),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on("disconnect", () => process.exit());
