import { forgetOldKeys } from "../../src/accounts/idempotency-service.ts";
import { forgetEndedTokens, forgetOldInvitations, mailTokenActs } from "../../src/accounts/jobs.ts";
import { sweepUnclaimed } from "../../src/agent-auth/jobs.ts";
import { createLogger } from "../../src/app/logger.ts";
import { shortenWaits } from "../../src/app/waits.ts";
import {
  alertInDoubt,
  sweepDuePayments,
  sweepExpiredApprovals,
  sweepLostIntents,
} from "../../src/approvals/jobs.ts";
import { sendApprovalMails } from "../../src/approvals/mail-service.ts";
import { listMovements } from "../../src/approvals/movement-store.ts";
import { forgetProcessorEvents, sweepProcessorEvents } from "../../src/approvals/processor-event-service.ts";
import { createSandbox } from "../../src/billing/sandbox-client.ts";
import { sweepDueTopUps } from "../../src/billing/top-up-jobs.ts";
import { measureList } from "../../src/contracts/milestone-store.ts";
import { sweepOldEvents } from "../../src/events/jobs.ts";
import { extendOperatorFeed } from "../../src/events/operator-service.ts";
import { forgetKnownCredentials } from "../../src/http/known-credentials.ts";
import { forgetOldWindows } from "../../src/http/token-rate-limit.ts";
import { forgetOldMails, sendDueMails } from "../../src/mail/jobs.ts";
import { forgetChallenges } from "../../src/passkeys/jobs.ts";
import { forgetEnded, sweepResets } from "../../src/sign-in/jobs.ts";
import { sweepUpgrades } from "../../src/team/upgrade-service.ts";
import { listDueWebhooks } from "../../src/webhooks/dispatch-store.ts";
import { forgetDeliveries, resealSecrets } from "../../src/webhooks/jobs.ts";
import { decide } from "../support/approval-scene.ts";
import { call, operate } from "../support/fixtures.ts";
import { createHuman, open } from "../support/humans.ts";
import type { TestService } from "../support/service.ts";
import { WHALE, WHALE_ID } from "./data.ts";
import type { Recorder } from "./plans.ts";

export type Grown = { service: TestService; recorder: Recorder; token: string; n: number };

/** What agents ask of the largest account. */
async function askAsAgent({ service: { app }, recorder, token, n }: Grown): Promise<void> {
  const ask = (method: "GET" | "POST" | "DELETE", path: string, body?: unknown, expected = 200) =>
    recorder.during(
      `${method} ${path.replace(/\/[cm]-\d+|\/[0-9a-f-]{36}/g, "/…").replace(/\d{2,}/g, "…")}`,
      async () => {
        const answer = await call(app, method, `/api/public/v1${path}`, { token, body });
        if (answer.status !== expected) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
        return answer.body;
      },
    );
  const fundable = (i: number) => `m-${n - 2 * (i + 100)}`;

  const { approval } = await ask("POST", `/milestones/${fundable(1)}/fund`, undefined, 202);
  await ask("POST", `/milestones/${fundable(1)}/fund`, undefined, 202);
  await ask("GET", `/approvals/${approval.id}`);
  await ask("POST", `/approvals/${approval.id}/withdraw`);
  const funded = n - 1002 - ((n - 1002) % 6);
  await ask("POST", `/milestones/m-${funded}/approve`, undefined, 202);
  await ask("POST", "/contracts/c-40/end", undefined, 202);
  await ask("GET", "/contracts/c-40");
  await ask("GET", "/contracts?jobId=job-40");
  await ask("POST", "/contracts/c-42/milestones", { description: "More", amountUsd: 5 }, 201);
  await ask("GET", "/updates?cursor=0");
  await ask("GET", `/updates?cursor=${n / 4}&limit=200`);
  await ask("GET", "/credits");
  await ask("GET", "/credits/ledger");
  await ask("GET", "/payments/pending");
  await ask("GET", "/auth/me");
  await ask("GET", "/tokens");
  const minted = await ask("POST", "/tokens", { name: "Another" }, 201);
  await ask("DELETE", `/tokens/${minted.metadata.id}`);
  const { webhooks } = await ask("GET", "/webhooks");
  await ask("GET", `/webhooks/${webhooks[0].id}/deliveries`);
}

/** What the operator asks. */
async function askAsOperator({ service: { app }, recorder, n }: Grown): Promise<void> {
  const ask = (path: string) => recorder.during(`operator: ${path}`, () => operate(app, "GET", path));
  await ask(`/accounts/${WHALE}`);
  await ask(`/accounts/${WHALE}/audit?limit=200`);
  await ask(`/accounts/${WHALE}/members`);
  await ask(`/accounts/${WHALE}/payment-methods`);
  await ask("/updates?limit=200");
  await recorder.during("operator: PUT milestone", () =>
    operate(app, "PUT", `/accounts/${WHALE}/milestones/m-${n - 600}`, { amountUsd: 460 }),
  );
}

/** What a person opens and does. */
async function askAsPerson({ service, recorder, token, n }: Grown): Promise<void> {
  const { app } = service;
  await operate(app, "POST", `/accounts/${WHALE}/payment-methods`, { paymentMethod: "pm_card_visa" });
  const person = await recorder.during("accept an invitation", () => createHuman(app, WHALE));
  const page = (path: string, scene = path) =>
    recorder.during(`page: ${scene}`, async () => {
      const answer = await open(app, path, person);
      if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.text}`);
      return answer;
    });
  const asked = await call(app, "POST", `/milestones/m-${n - 700}/fund`, { token });
  const path = `/approvals/${asked.body.approval.id}`;
  await page(path, "/approvals/…");
  const confirmed = await recorder.during("confirm a funding", () =>
    decide({ app }, { path, ...person } as never, "confirm"),
  );
  if (confirmed.status !== 303) throw new Error(`${confirmed.status} ${confirmed.text}`);
  await page(path, "/approvals/… that is decided");
  const declined = await call(app, "POST", `/milestones/m-${n - 702}/fund`, { token });
  await recorder.during("decline a funding", () =>
    decide({ app }, { path: `/approvals/${declined.body.approval.id}`, ...person } as never, "decline"),
  );
  await page("/approvals");
  await page("/contracts");
  await page("/contracts/c-40", "/contracts/…");
  await page("/billing");
  await page("/settings/keys");
  await page("/settings/members");
  await page("/settings/webhooks");
  await page("/settings/security");
  await page("/settings/activity");
  await page("/settings/activity?group=cards");
}

/** What calls with a limit that only a large account reaches: a list that is too large, and an export. */
async function readWithLimits({ service: { db }, recorder }: Grown): Promise<void> {
  await recorder.during("export payments", () => listMovements(db, WHALE_ID, 20));
  const bytes = await recorder.during("measure a list", () => measureList(db, WHALE_ID, {}, 10_000));
  if (bytes <= 10_000) throw new Error(`${bytes} bytes`);
}

/** What runs in the background, once each. */
async function sweepEverything({ service, recorder }: Grown): Promise<void> {
  const { db, config } = service;
  const logger = createLogger("silent");
  const processor = createSandbox(db, config.publicUrl);
  const deps = { ...service, processor, logger };
  const transport = { keepsBodies: false, send: async () => {} };
  const sweeps: Record<string, () => Promise<unknown>> = {
    "old events": () => sweepOldEvents(db, 300),
    "old idempotency keys": () => forgetOldKeys(db),
    "ended tokens": () => forgetEndedTokens(db),
    "mail about tokens' acts": () => mailTokenActs({ db, config }),
    "old invitations": () => forgetOldInvitations(db),
    "old mails": () => forgetOldMails(db),
    "reset links": () => sweepResets({ db, config }),
    mail: () => sendDueMails({ db, logger }, transport),
    "ended sessions": () => forgetEnded(db),
    "answered challenges": () => forgetChallenges(db),
    "mail about approvals": () => sendApprovalMails({ db, config }),
    "expired approvals": () => sweepExpiredApprovals(db),
    "lost payments": () => sweepLostIntents(deps, logger),
    "due payments": () => sweepDuePayments(deps, logger),
    "due top-ups": () => sweepDueTopUps(deps, logger),
    "events of the processor": () => sweepProcessorEvents(deps),
    "handled events of the processor": () => forgetProcessorEvents(deps),
    "payments in doubt": () => alertInDoubt(deps, logger),
    waits: () => shortenWaits(deps),
    "operator's feed": () => extendOperatorFeed(db),
    "due webhooks": () => listDueWebhooks(db, false, new Date(), 100),
    "webhooks' secrets": () => resealSecrets({ db, config }, logger),
    "old deliveries": () => forgetDeliveries(db),
    "members' upgrades": () => sweepUpgrades({ db, config }),
    "unclaimed accounts": () => sweepUnclaimed(db),
    "old rate windows": () => forgetOldWindows(db),
    "known credentials": () => forgetKnownCredentials(db),
  };
  for (const [name, run] of Object.entries(sweeps)) await recorder.during(`sweep: ${name}`, run);
}

/** Asks for everything once, of the largest account where it is about one. */
export async function playScenes(grown: Grown): Promise<void> {
  await askAsAgent(grown);
  await askAsOperator(grown);
  await readWithLimits(grown);
  await sweepEverything(grown);
  await askAsPerson(grown);
}
