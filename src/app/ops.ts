import { parseArgs } from "node:util";
import { findTokenId, listTokenPage } from "../accounts/token-service.ts";
import { listAudit } from "../audit/service.ts";
import type { DatabaseAddress } from "../config/config.ts";
import type { Db } from "../database/connection.ts";
import { Problem } from "../lib/problems.ts";
import { StartError } from "../lib/start-error.ts";
import { listSweeps, readWorkSeen } from "../monitoring/sweep-store.ts";
import { traceAccount } from "../operator/account-service.ts";
import {
  listApprovals,
  listFailingWebhooks,
  listPayments,
  listUnderWay,
  listWaiting,
  listWebhooks,
} from "../operator/list-service.ts";
import { listMembers } from "../operator/member-service.ts";
import { onDatabase, readArguments } from "./by-hand.ts";
import { type Table, toText } from "./table.ts";

const SHOWN = 50;
/** The addresses of approvals are not shown: the operator cannot decide. */
const NO_ORIGIN = "";
const USAGE = "ops [in-doubt | paying | waiting | sweeps | webhooks | account ID] [--json]";

/** What one part of the answer is called, and its rows. */
type Section = { title: string; rows: Table };

/**
 * Shows an operator at a terminal what needs looking at, from the database alone: payments in doubt or under way, the approvals that
 * have waited longest, sweeps, failing webhooks; or one account with its activity.
 * @param args a part, and `--json` for programs; an account by its id, by its key in the log, or by one of its tokens
 * @returns the text to print
 * @throws StartError for what the person at the terminal can correct
 */
export async function ops(database: DatabaseAddress, args: readonly string[]): Promise<string> {
  const { json, part, id } = readOptions(args);
  return onDatabase(database, "ops", async (db) => {
    const sections = await read(db, part, id);
    return json
      ? JSON.stringify(Object.fromEntries(sections.map(({ title, rows }) => [title, rows])), null, 2)
      : sections.map(({ title, rows }) => `${title.toUpperCase()}\n${toText(rows)}`).join("\n\n");
  });
}

const PARTS = {
  "in-doubt": async (db: Db) => {
    const { payments } = await listPayments(db, { status: "in_doubt", limit: SHOWN });
    return payments.map(
      ({ inDoubtSince, accountId, id, kind, status, approvalId, milestoneId, ...rest }) => ({
        since: inDoubtSince,
        account: accountId,
        payment: id,
        kind,
        status,
        amountCents: rest.amountCents,
        milestone: milestoneId,
        approval: approvalId,
        processorId: rest.processorId,
      }),
    );
  },
  paying: async (db: Db) =>
    (await listUnderWay(db, SHOWN)).map(
      ({ createdAt, accountId, id, kind, status, attempt, amountCents, milestoneId, ...rest }) => ({
        since: createdAt,
        account: accountId,
        payment: id,
        kind,
        status,
        attempt,
        amountCents,
        milestone: milestoneId,
        processorId: rest.processorId,
        nextReadAt: rest.dueAt,
      }),
    ),
  waiting: async (db: Db) =>
    (await listWaiting(db, NO_ORIGIN, SHOWN)).map(
      ({ createdAt, expiresAt, accountId, id, type, ...rest }) => ({
        askedAt: createdAt,
        expiresAt,
        account: accountId,
        approval: id,
        type,
        amountCents: rest.amountCents,
        askedBy: rest.askedBy,
        payingSince: rest.executingSince,
      }),
    ),
  sweeps: async (db: Db) => {
    const seen = await readWorkSeen(db);
    const rows = (await listSweeps(db)).map(({ job, succeededAt, tookMs, failedAt, failures, error }) => ({
      sweep: job,
      succeededAt: succeededAt?.toISOString() ?? null,
      tookMs,
      failures,
      failedAt: failedAt?.toISOString() ?? null,
      error: failures > 0 ? error : null,
    }));
    const work = {
      sweep: "work was last seen",
      succeededAt: seen?.at.toISOString() ?? "never",
      tookMs: null,
    };
    return [{ ...work, failures: 0, failedAt: null, error: null }, ...rows];
  },
  webhooks: async (db: Db) => listFailingWebhooks(db, SHOWN),
} satisfies Record<string, (db: Db) => Promise<Table>>;

async function read(db: Db, part: string | undefined, id: string): Promise<Section[]> {
  if (part === "account") return readAccount(db, id);
  const wanted = Object.entries(PARTS).filter(([title]) => part === undefined || part === title);
  const sections: Section[] = [];
  for (const [title, rows] of wanted) sections.push({ title, rows: await rows(db) });
  return sections;
}

async function readAccount(db: Db, id: string): Promise<Section[]> {
  const found = await traceAccount(db, id).catch((error: unknown) => {
    const unknown = error instanceof Problem && error.problem === "not_found";
    throw unknown
      ? new StartError("There is no such account: name its id, its key in the log, or a token.")
      : error;
  });
  const of = { accountId: found.organizationId, limit: SHOWN };
  const { approvals } = await listApprovals(db, NO_ORIGIN, of);
  const { payments } = await listPayments(db, of);
  const { webhooks } = await listWebhooks(db, found, {});
  const { tokens } = await listTokenPage(db, found, { limit: SHOWN });
  const given = await findTokenId(db, id);
  const { entries } = await listAudit(db, found.accountId, { limit: SHOWN });
  const { features, ...account } = found.account;
  return [
    {
      title: "account",
      rows: [{ ...account, key: found.accountId, features: Object.keys(features).join(" ") }],
    },
    {
      title: "members",
      rows: (await listMembers(db, found)).map(({ id: member, pendingUpgrade, ...rest }) => ({
        member,
        name: rest.name,
        email: rest.email,
        role: rest.role,
        status: rest.status,
        becomes: pendingUpgrade?.role ?? null,
        from: pendingUpgrade === null ? null : (pendingUpgrade.effectiveAt ?? "an owner's consent"),
      })),
    },
    {
      title: "tokens",
      rows: tokens.map(({ id: token, name, preview, status, scopes, createdAt, lastUsedAt }) => ({
        token,
        given: token === given ? "this one" : null,
        name,
        preview,
        status,
        scopes: scopes.join(" "),
        createdAt,
        lastUsedAt,
      })),
    },
    {
      title: "approvals",
      rows: approvals.map(({ createdAt, id: approval, type, status, amountCents, askedBy, resolvedAt }) => ({
        askedAt: createdAt,
        approval,
        type,
        status,
        amountCents,
        askedBy,
        resolvedAt,
      })),
    },
    {
      title: "payments",
      rows: payments.map(({ accountId: _, currency: __, ...payment }) => payment),
    },
    {
      title: "webhooks",
      rows: webhooks.map(({ id: webhook, url, status, failures, nextAttemptAt }) => ({
        webhook,
        url,
        status,
        failures,
        nextAttemptAt,
      })),
    },
    {
      title: "activity",
      rows: entries.map(({ at, action, actor, subject, requestId }) => ({
        at,
        action,
        by: actor.kind,
        name: actor.name,
        subject: subject === null ? null : `${subject.kind} ${subject.id}`,
        requestId,
      })),
    },
  ];
}

function readOptions(args: readonly string[]): { json: boolean; part: string | undefined; id: string } {
  const { values, positionals } = readArguments(USAGE, () =>
    parseArgs({ args: [...args], options: { json: { type: "boolean" } }, allowPositionals: true }),
  );
  const [part, id = "", ...more] = positionals;
  const known = part === undefined || part === "account" || part in PARTS;
  if (!known || more.length > 0 || (part === "account") !== (id !== "")) throw new StartError(USAGE);
  return { json: values.json === true, part, id };
}
