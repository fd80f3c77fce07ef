import { hash } from "node:crypto";
import { expect, test } from "vitest";
import { SERVICE_ACCOUNT } from "../../src/audit/service.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { call, MARIA } from "../support/fixtures.ts";
import { newEmail } from "../support/humans.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";

const { app, db } = await startService();
const PREFIX = "/api/operator/v1";
const WRITING = new Set(["POST", "PUT", "PATCH", "DELETE"]);

type Act = {
  route: string;
  /** What stands in the address for `:paymentMethodId` and the like. */
  at?: Record<string, string>;
  body?: object;
  /** What was there before. */
  given?: () => Promise<Record<string, string> | undefined>;
  entry: Record<string, unknown>;
};

const account = `acct-${crypto.randomUUID()}`;
const operate = (method: "POST" | "PUT", path: string, body?: object) =>
  call(app, method, `${PREFIX}${path}`, { token: OPERATOR_KEY, body });

/** One call of every route that writes, in an order in which each changes something. */
const ACTS: Act[] = [
  {
    route: "PUT /accounts/:accountId",
    body: { name: "Acme", claimed: true },
    entry: {
      action: "account_created",
      subject: { kind: "account", id: account },
      before: null,
      after: {
        name: "Acme",
        claimed: true,
        features: {},
        billing: "card",
        coSign: "session",
        secondSignerFromCents: null,
        frozen: false,
      },
    },
  },
  {
    route: "PUT /accounts/:accountId/contracts/:contractId",
    body: { title: "Scenes", jobId: "job-1", paymentType: "FIXED_PRICE", freelancer: MARIA },
    entry: { action: "contract_created", subject: { kind: "contract", id: "c" }, before: null },
  },
  {
    route: "PUT /accounts/:accountId/milestones/:milestoneId",
    body: { contractId: "c", description: "Label", amountUsd: 450 },
    entry: {
      action: "milestone_created",
      subject: { kind: "milestone", id: "m" },
      before: null,
      after: expect.objectContaining({ amountCents: 45_000, contractId: "c" }),
    },
  },
  {
    route: "POST /accounts/:accountId/milestones/:milestoneId/cancel",
    entry: {
      action: "milestone_cancelled",
      subject: { kind: "milestone", id: "m" },
      before: { status: "NOT_FUNDED" },
      after: { status: "CANCELLED" },
    },
  },
  {
    route: "POST /accounts/:accountId/tokens",
    body: { name: "Agent 7", scopes: ["payments:read"] },
    entry: {
      action: "key_minted",
      subject: { kind: "token", id: expect.any(String) },
      after: { name: "Agent 7", scopes: ["payments:read"], expiresAt: null },
    },
  },
  {
    route: "POST /accounts/:accountId/members",
    body: { email: newEmail(), name: "Hanna", role: "viewer" },
    entry: {
      action: "member_invited",
      subject: { kind: "member", id: expect.any(String) },
      after: expect.objectContaining({ name: "Hanna", role: "viewer" }),
    },
  },
  {
    route: "PATCH /accounts/:accountId/members/:memberId",
    given: async () => ({ memberId: (await findRow("members")).id }),
    body: { role: "approver" },
    entry: { action: "member_role_changed", before: { role: "viewer" }, after: { role: "approver" } },
  },
  {
    route: "DELETE /accounts/:accountId/members/:memberId",
    given: async () => ({ memberId: (await findRow("members")).id }),
    entry: {
      action: "invitation_withdrawn",
      subject: { kind: "member", id: expect.any(String) },
      before: { role: "approver", status: "invited" },
      after: { role: null, status: "removed" },
    },
  },
  {
    route: "POST /accounts/:accountId/payment-methods",
    body: { paymentMethod: "pm_card_visa" },
    entry: {
      action: "card_added",
      subject: { kind: "card", id: expect.any(String) },
      after: { brand: "visa", last4: "4242" },
    },
  },
  {
    route: "DELETE /accounts/:accountId/payment-methods/:paymentMethodId",
    given: async () => ({ paymentMethodId: (await findRow("payment_methods")).id }),
    entry: { action: "card_removed", before: { brand: "visa", last4: "4242" }, after: null },
  },
  {
    route: "POST /accounts/:accountId/events",
    body: { type: "message.received", resourceId: "message-1" },
    entry: { action: "event_posted", subject: { kind: "resource", id: "message-1" } },
  },
  {
    route: "DELETE /accounts/:accountId/tokens/:tokenId",
    given: async () => ({ tokenId: (await findRow("tokens")).id }),
    entry: {
      action: "key_revoked",
      subject: { kind: "token", id: expect.any(String) },
      before: { status: "active" },
      after: { status: "revoked", tokensRevoked: 1 },
    },
  },
  {
    route: "PUT /pause",
    body: { paymentsPaused: true },
    entry: { action: "payments_paused", before: { paymentsPaused: false }, after: { paymentsPaused: true } },
  },
  {
    route: "PUT /webhook",
    body: { url: "https://example.com/hook" },
    entry: { action: "operator_webhook_changed", after: { url: "https://example.com/hook" } },
  },
  { route: "POST /webhook/rotate-secret", entry: { action: "operator_webhook_secret_replaced" } },
  {
    route: "DELETE /webhook",
    entry: { action: "operator_webhook_deleted", before: { url: "https://example.com/hook" } },
  },
  {
    route: "POST /accounts/:accountId/milestones/:milestoneId/fund",
    given: async () => {
      await operate("PUT", "/pause", { paymentsPaused: false });
      await operate("POST", `/accounts/${account}/payment-methods`, { paymentMethod: "pm_card_visa" });
      const milestone = { contractId: "c2", description: "Label", amountUsd: 450 };
      const contract = { title: "More", jobId: "job-2", paymentType: "FIXED_PRICE", freelancer: MARIA };
      await operate("PUT", `/accounts/${account}/contracts/c2`, contract);
      await operate("PUT", `/accounts/${account}/milestones/m2`, milestone);
      return { milestoneId: "m2" };
    },
    entry: { action: "approval_requested", subject: { kind: "approval", id: expect.any(String) } },
  },
  {
    route: "POST /accounts/:accountId/approvals/:approvalId/withdraw",
    given: async () => ({ approvalId: (await findRow("approvals")).id }),
    entry: { action: "approval_withdrawn", subject: { kind: "approval", id: expect.any(String) } },
  },
  {
    route: "POST /accounts/:accountId/milestones/:milestoneId/approve",
    given: async () => {
      const freelancer = { ...MARIA, payoutAccount: "acct_1Maria" };
      await operate("PUT", `/accounts/${account}/contracts/c2`, { freelancer });
      await db
        .updateTable("milestones")
        .set({ status: "ACTIVE_FUNDED" })
        .where("account_id", "=", accountKey(account))
        .where("id", "=", "m2")
        .execute();
      return { milestoneId: "m2" };
    },
    entry: { action: "approval_requested", subject: { kind: "approval", id: expect.any(String) } },
  },
  {
    route: "POST /accounts/:accountId/contracts/:contractId/end",
    given: async () => ({ contractId: "c2" }),
    entry: { action: "approval_requested", subject: { kind: "approval", id: expect.any(String) } },
  },
  {
    route: "POST /accounts/:accountId/credits/adjustments",
    body: { amountCents: 500, note: "A correction" },
    entry: { action: "credits_adjusted" },
  },
];

const findRow = (table: "approvals" | "payment_methods" | "tokens" | "members") =>
  db.selectFrom(table).where("account_id", "=", accountKey(account)).select("id").executeTakeFirstOrThrow();

/** The operator's routes that change something, as Fastify lists them. */
function listWritingRoutes(): string[] {
  const tree = app.printRoutes({ commonPrefix: false });
  const parts: string[] = [];
  return tree.split("\n").flatMap((line) => {
    const [, indent = "", path = "", methods = ""] = /^([│ ├└─]*)(\S+)(?: \(([A-Z, ]+)\))?/.exec(line) ?? [];
    const depth = indent.length / 4;
    parts.splice(Math.max(depth - 1, 0));
    parts.push(path);
    const url = parts.join("");
    if (!url.startsWith(PREFIX)) return [];
    return methods
      .split(", ")
      .filter((method) => WRITING.has(method))
      .map((method) => `${method} ${url.slice(PREFIX.length)}`);
  });
}

test("every route of the operator that writes is walked here", () => {
  const routes = listWritingRoutes();
  expect(routes.length).toBeGreaterThan(10);
  expect(ACTS.map(({ route }) => route).sort()).toEqual(routes.sort());
});

test("every act of the operator's leaves one entry: key, subject, before and after, address, request", async () => {
  const fingerprint = hash("sha256", OPERATOR_KEY, "hex").slice(0, 8);
  for (const [i, { route, body, given, entry }] of ACTS.entries()) {
    const [method = "", path = ""] = route.split(" ");
    const ids: Record<string, string> = {
      accountId: account,
      contractId: "c",
      milestoneId: "m",
      ...(await given?.()),
    };
    const url = path.replaceAll(/:([a-zA-Z]+)/g, (_, name: string) => encodeURIComponent(ids[name] ?? ""));
    const requestId = `act-${i}`;
    const answer = await call(app, method as "PUT", `${PREFIX}${url}`, {
      token: OPERATOR_KEY,
      body,
      headers: { "x-request-id": requestId },
    });
    expect(answer.status, `${route}: ${answer.text}`).toBeLessThan(300);
    const accountId = path.startsWith("/accounts") ? accountKey(account) : SERVICE_ACCOUNT;
    const entries = await db
      .selectFrom("audit_entries")
      .where("request_id", "=", requestId)
      .selectAll()
      .execute();
    expect(entries, route).toHaveLength(1);
    const [row] = entries;
    expect(row).toMatchObject({ account_id: accountId, actor_kind: "operator", actor_id: fingerprint });
    expect(row?.address).not.toBeNull();
    const { action, before, after, subject_kind: kind, subject_id: id } = row ?? {};
    const subject = kind === null ? null : { kind, id };
    expect({ action, before, after, subject }, route).toMatchObject(entry);
  }
});

test("an act that changes nothing leaves no entry, and one that does names what differs alone", async () => {
  const other = `acct-${crypto.randomUUID()}`;
  await operate("PUT", `/accounts/${other}`, { name: "Acme" });
  for (const name of ["Acme", "Acme", "Other", "Other"]) await operate("PUT", `/accounts/${other}`, { name });
  const { body } = await call(app, "GET", `${PREFIX}/accounts/${other}/audit`, { token: OPERATOR_KEY });
  expect(
    body.entries.map(({ action, before, after }: Record<string, unknown>) => ({ action, before, after })),
  ).toEqual([
    { action: "account_changed", before: { name: "Acme" }, after: { name: "Other" } },
    { action: "account_created", before: null, after: expect.objectContaining({ name: "Acme" }) },
  ]);
});
