import { createLogger } from "../../../src/app/logger.ts";
import type { ProcessorEventDeps } from "../../../src/approvals/processor-event-service.ts";
import type { Db } from "../../../src/database/connection.ts";
import type { App } from "../../../src/http/app.ts";
import { accountKey, newId } from "../../../src/lib/ids.ts";
import type { Actor } from "../../../src/sign-in/service.ts";
import { createActor } from "../../support/actors.ts";
import { cloneDatabase } from "../../support/clones.ts";
import { setPayoutAccount } from "../../support/escrow.ts";
import { createFixture, createMilestone, type Fixture, operate } from "../../support/fixtures.ts";
import { ownerOf } from "../../support/owner.ts";
import type { Rails } from "../../support/rails.ts";
import { startService } from "../../support/service.ts";
import { putCard } from "../../support/stories.ts";
import type { FakeStripe } from "../../support/stripe/fake.ts";
import type { Planned } from "../../support/stripe/faults.ts";

/** Two services on a database of their own, over one processor. Runs of one lane follow one another. */
export type Lane = {
  rails: Rails;
  apps: readonly [App, App];
  db: Db;
  deps: ProcessorEventDeps;
  log: LogLine[];
};
type LogLine = { msg: string; err?: { type: string; message: string; code?: string } };

export async function openLane(rails: Rails): Promise<Lane> {
  const url = await cloneDatabase();
  const first = await startService({}, url, rails);
  const second = await startService({}, url, rails);
  const log: LogLine[] = [];
  const logger = createLogger("warn", { write: (line) => void log.push(JSON.parse(line)) });
  const { db, config } = first;
  return {
    rails,
    apps: [first.app, second.app],
    db,
    log,
    deps: { db, config, processor: rails.open(db), logger },
  };
}

/** What a run starts with; `stands`: how far each milestone's money has come. */
export type Setting = {
  credits: boolean;
  twoPeople: boolean;
  stands: readonly ("new" | "funded" | "paid")[];
};

export type Person = { actor: Actor; name: string };

/** One account with two contracts of two milestones each, and what its clients know. Shared by them all. */
export class Run {
  readonly lane: Lane;
  readonly fixture: Fixture;
  readonly accountId: string;
  readonly contracts: readonly string[];
  readonly milestones: readonly { id: string; contract: string }[];
  readonly people: readonly Person[];
  readonly approvals: string[] = [];
  readonly topUps: string[] = [];
  readonly history: string[] = [];
  readonly faults: Planned[] = [];
  readonly delivered = new Set<string>();
  /** How many of the processor's events are older than this run. */
  readonly eventsBefore: number;
  #made = 0;

  constructor(
    lane: Lane,
    made: Pick<Run, "fixture" | "contracts" | "milestones" | "people" | "eventsBefore">,
  ) {
    this.lane = lane;
    this.fixture = made.fixture;
    this.contracts = made.contracts;
    this.milestones = made.milestones;
    this.people = made.people;
    this.eventsBefore = made.eventsBefore;
    this.accountId = accountKey(made.fixture.account);
  }

  get stripe(): FakeStripe | undefined {
    return this.lane.rails.stripe;
  }

  /** A number that no command of this run has used. */
  next(): number {
    this.#made += 1;
    return this.#made;
  }

  note(text: string): void {
    this.history.push(text);
  }

  operate(path: string, method: "POST" | "PUT", body?: unknown): Promise<unknown> {
    return operate(this.lane.apps[0], method, `/accounts/${this.fixture.account}${path}`, body);
  }
}

const PRICE_CENTS = 45_000;

export async function createRun(lane: Lane, { credits, twoPeople }: Omit<Setting, "stands">): Promise<Run> {
  const { rails, apps, db } = lane;
  const [app] = apps;
  const eventsBefore = rails.stripe?.books.events.size ?? 0;
  const features = { public_api_payments_write: true, public_api_credits: true };
  const fixture = await createFixture(app, { features, card: false });
  const second = { ...fixture, contract: `${fixture.contract}-2` };
  await operate(app, "PUT", `/accounts/${fixture.account}/contracts/${second.contract}`, {
    ...{ title: "Night scenes", jobId: `job-${fixture.contract}`, paymentType: "FIXED_PRICE" },
    freelancer: { userId: "freelancer-1", displayName: "Maria G." },
  });
  const milestones: { id: string; contract: string }[] = [];
  for (const of of [fixture, second]) {
    await setPayoutAccount(app, of, `acct_1${newId().replaceAll("-", "")}`);
    for (let i = 1; i <= 2; i++) {
      const id = of === fixture && i === 1 ? fixture.milestone : `${of.contract}-m${i}`;
      if (id !== fixture.milestone) await createMilestone(app, of, id);
      milestones.push({ id, contract: of.contract });
    }
  }
  await putCard(app, fixture.account, rails.cards.pays);
  const accountId = accountKey(fixture.account);
  const people = [await addPerson(db, accountId, "owner"), await addPerson(db, accountId, "approver")];
  const contracts = [fixture.contract, second.contract];
  const run = new Run(lane, { fixture, contracts, milestones, people, eventsBefore });
  if (credits) await run.operate("", "PUT", { billing: "credits_first" });
  if (credits)
    await run.operate("/credits/adjustments", "POST", { amountCents: 2 * PRICE_CENTS, note: "Start" });
  if (twoPeople) await run.operate("", "PUT", { secondSignerFromUsd: 500 });
  return run;
}

/** A member with a session, written into the tables: a password's hash would be most of a run's time. */
async function addPerson(db: Db, accountId: string, role: "owner" | "approver"): Promise<Person> {
  const userId = newId();
  const actor = await createActor(db, userId);
  const name = "Ada Owner";
  const times = { created_at: new Date(), updated_at: new Date() };
  await ownerOf(db)
    .insertInto("members")
    .values({
      ...{ account_id: accountId, id: newId(), email: `${userId}@example.com`, name, role, ...times },
      ...{ status: "active", user_id: userId },
    })
    .execute();
  return { actor, name };
}
