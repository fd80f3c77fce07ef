import { hash, randomUUIDv7 } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import fastify from "fastify";
import pg from "pg";
import type { Recordings, Statement } from "./recording.ts";

/** What a bare server needs: where to send what. */
export type BareSetUp = {
  databaseUrl: string;
  poolSize: number;
  recordings: Recordings;
  /** What the recorded requests were about. */
  about: { accountId: string; digest: Buffer; milestoneId: string; contractId: string };
};

const TTL = 3 * 24 * 60 * 60 * 1_000;

type Known = {
  accountId: string;
  digest: Buffer;
  milestoneId?: string;
  contractId?: string;
  approvalId?: string;
  now?: Date;
  expiresAt?: Date;
};

/**
 * The least that could answer: the service's statements through a plain pool, its answer's bytes, and nothing
 * else. No validation, gates, limits, log or error handling; the caller says whose account it is.
 */
async function serve({ databaseUrl, poolSize, recordings, about }: BareSetUp): Promise<number> {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: poolSize });
  const { fundNew, getApproval } = recordings;
  const { approval } = fundNew.body as { approval: { id: string; createdAt: string; expiresAt: string } };
  const recorded: Known = {
    ...about,
    approvalId: approval.id,
    now: new Date(approval.createdAt),
    expiresAt: new Date(approval.expiresAt),
  };
  const [read, insert] = fundNew.statements.map((statement) => prepare(statement, recorded));
  const [readApproval] = getApproval.statements.map((statement) => prepare(statement, recorded));
  if (read === undefined || insert === undefined || readApproval === undefined) {
    throw new Error("the service was not seen to send what a fund request needs");
  }

  const app = fastify();
  app.post<{ Params: { milestoneId: string } }>("/milestones/:milestoneId/fund", async (request, reply) => {
    const given = { ...asker(request.headers), milestoneId: request.params.milestoneId };
    const row = (await pool.query(read(given))).rows[0];
    if (row.approvalId === null) {
      const { contractId, now } = row;
      const expiresAt = new Date(now.getTime() + TTL);
      await pool.query(insert({ ...given, contractId, now, expiresAt, approvalId: randomUUIDv7() }));
    }
    return reply.code(202).send(fundNew.body);
  });
  app.get<{ Params: { approvalId: string } }>("/approvals/:approvalId", async (request) => {
    await pool.query(readApproval({ ...asker(request.headers), approvalId: request.params.approvalId }));
    return getApproval.body;
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
  return (app.server.address() as AddressInfo).port;
}

function asker(headers: IncomingHttpHeaders): { accountId: string; digest: Buffer } {
  return {
    accountId: String(headers.account),
    digest: Buffer.from(String(headers["token-digest"]), "hex"),
  };
}

/** A recorded statement as a function of what it is about; what the service put in besides stays as it was. */
function prepare({ text, values }: Statement, recorded: Known): (known: Known) => pg.QueryConfig {
  const name = hash("sha256", text, "hex").slice(0, 32);
  const keys = Object.keys(recorded) as (keyof Known)[];
  const slots = values.map((value) => ({
    key: keys.find((key) => isSame(recorded[key], value)),
    value,
  }));
  return (known) => ({
    name,
    text,
    values: slots.map(({ key, value }) => (key === undefined ? value : known[key])),
  });
}

function isSame(one: unknown, other: unknown): boolean {
  if (one instanceof Date && other instanceof Date) return one.getTime() === other.getTime();
  if (one instanceof Uint8Array && other instanceof Uint8Array) return Buffer.compare(one, other) === 0;
  return one === other;
}

process.on("message", (setUp: BareSetUp) => {
  serve(setUp).then(
    (port) => process.send?.(port),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on("disconnect", () => process.exit());
process.on("SIGTERM", () => process.exit());
