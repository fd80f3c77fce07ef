import pg from "pg";
import { TokenUses } from "../src/accounts/token-use-service.ts";
import { createApp } from "../src/app/app.ts";
import { createLogger } from "../src/app/logger.ts";
import { createSandbox } from "../src/billing/sandbox-client.ts";
import { loadConfig } from "../src/config/config.ts";
import { ChangeBus } from "../src/database/change-bus.ts";
import { connect } from "../src/database/connection.ts";
import { Waiters } from "../src/events/waiters.ts";
import { RateLimits } from "../src/http/token-rate-limit.ts";
import { type Account, milestoneId } from "./data.ts";

export type Statement = { text: string; values: unknown[] };
/** What the service did for one request: the statements it sent, and its answer. */
export type Recording = { statements: Statement[]; status: number; body: Record<string, unknown> };
export type Recordings = { fundNew: Recording; fundRepeat: Recording; getApproval: Recording };

/**
 * Sends each request once to the service, in this process, and writes down what it sends to Postgres: so the
 * queries are counted and not claimed, and the bare routes send the very same ones.
 */
export async function record(environment: Record<string, string>, account: Account): Promise<Recordings> {
  const config = loadConfig(environment);
  const connection = connect(config.databaseUrl ?? "", {
    size: 1,
    statementTimeout: 5_000,
    lockTimeout: 3_000,
    onIdleError: () => {},
  });
  const { db } = connection;
  const app = await createApp({
    config,
    db,
    limits: new RateLimits(),
    tokenUses: new TokenUses(),
    waiters: new Waiters(db, new ChangeBus(db)),
    processor: createSandbox(db, "http://localhost:3000"),
    logger: createLogger("silent"),
  });
  const statements: Statement[] = [];
  const stopListening = listen(statements);
  const send = async (method: "GET" | "POST", url: string): Promise<Recording> => {
    statements.length = 0;
    const answer = await app.inject({ method, url, headers: { authorization: `Bearer ${account.token}` } });
    return { statements: [...statements], status: answer.statusCode, body: answer.json() };
  };
  try {
    const fund = `/milestones/${milestoneId(account, 0)}/fund`;
    const fundNew = await send("POST", fund);
    const fundRepeat = await send("POST", fund);
    const { approval } = fundNew.body as { approval: { id: string } };
    return { fundNew, fundRepeat, getApproval: await send("GET", `/approvals/${approval.id}`) };
  } finally {
    stopListening();
    await app.close();
    await connection.close();
  }
}

/** Writes down every statement that goes to Postgres from this process, until the returned function is called. */
function listen(statements: Statement[]): () => void {
  const { query } = pg.Client.prototype;
  pg.Client.prototype.query = function (this: pg.Client, ...args: unknown[]) {
    const [first, second] = args;
    const { text, values } =
      typeof first === "string" ? { text: first, values: second } : (first as Statement);
    statements.push({ text, values: Array.isArray(values) ? values : [] });
    return Reflect.apply(query, this, args);
  } as typeof query;
  return () => {
    pg.Client.prototype.query = query;
  };
}
