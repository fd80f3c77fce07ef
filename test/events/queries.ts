import pg from "pg";
import { vi } from "vitest";

/** What is sent to Postgres from now on, with its parameters, until the mocks are restored. */
export function listenToQueries(): { text: string; values: unknown[] }[] {
  const sent: { text: string; values: unknown[] }[] = [];
  const query = pg.Client.prototype.query as (...args: unknown[]) => unknown;
  vi.spyOn(pg.Client.prototype, "query").mockImplementation(function (this: pg.Client, ...args: unknown[]) {
    const [first] = args as [string | { text: string; values: unknown[] }];
    sent.push(typeof first === "string" ? { text: first, values: [] } : first);
    return query.apply(this, args) as never;
  });
  return sent;
}
