import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "vitest";
import type { Db } from "../../src/database/connection.ts";
import { launch, type Program, startProcess } from "../support/process.ts";
import type { Rails } from "../support/rails.ts";
import { PUBLIC_URL, serviceEnvironment } from "../support/service.ts";
import type { Stories } from "../support/stories.ts";
import { answerBank, type Browser, decideAt, signInAt } from "../support/visitor.ts";
import type { Crossing, Path } from "./crossings.ts";

export const KILLED_MAIN = join(import.meta.dirname, "../support/killed-main.ts");
const DIES_WITHIN = 45_000;
/** Nobody types amounts here. */
export const KILLED_ENV = { PUBLIC_URL, CONFIRM_AMOUNT_FROM: "1000000" };

/**
 * Starts the real service, lets a person sign in, confirm everything at once over HTTP and, if there is an
 * answer, answer the bank; fails unless the process dies with one attempt at each of the crossings.
 */
export async function confirmUntilDeath(
  url: string,
  rails: Pick<Rails, "env">,
  { human, stories }: Stories,
  { crosses, answer }: Pick<Path, "crosses" | "answer">,
): Promise<void> {
  await actUntilDeath(url, rails, human.email, crosses, stories, async (browser, { path }) => {
    // A busy machine may make the database refuse one: the person tries again.
    for (let tries = 0; tries < 5 && (await decideAt(browser, path, "confirm")).status >= 500; tries++);
    if (answer !== undefined) await answerBank(browser, path, answer);
  });
}

/** The same of whatever a person does about each of `subjects`, all at once. */
export async function actUntilDeath<T>(
  url: string,
  rails: Pick<Rails, "env">,
  email: string,
  crosses: readonly Crossing[],
  subjects: readonly T[],
  act: (browser: Browser, subject: T) => Promise<unknown>,
): Promise<void> {
  const env = { ...rails.env, ...KILLED_ENV, KILL_AT: crosses.join() };
  const service = await startProcess("serve", url, env, KILLED_MAIN);
  const browser = await signInAt(`http://127.0.0.1:${service.port}`, email);
  // The death cuts all of them off.
  const cutOff = Promise.allSettled(subjects.map((subject) => act(browser, subject)));
  await expectDeath(service).catch(async (error: unknown) => {
    await service.kill9();
    throw new Error(JSON.stringify(await cutOff), { cause: error });
  });
  await cutOff;
}

/** Starts the real sweeps; fails unless the process dies with one attempt at each of the crossings. */
export async function recoverUntilDeath(
  url: string,
  rails: Pick<Rails, "env">,
  crosses: readonly Crossing[],
): Promise<void> {
  const env = { ...serviceEnvironment(url), ...rails.env, KILL_AT: crosses.join() };
  await expectDeath(launch(["work"], env, KILLED_MAIN));
}

async function expectDeath(program: Program): Promise<void> {
  const late = delay(DIES_WITHIN, undefined, { ref: false });
  const ended = await Promise.race([program.ended, late]);
  expect(ended?.signal, `it did not die everywhere: ${program.output()}`).toBe("SIGKILL");
}

/** How many attempts have an unknown outcome, of all accounts or of one. */
export async function countInDoubt(db: Db, accountId?: string): Promise<number> {
  let query = db.selectFrom("payments").where("status", "in", ["created", "submitted", "unknown"]);
  if (accountId !== undefined) query = query.where("account_id", "=", accountId);
  const { count } = await query
    .select((select) => select.fn.countAll<number>().as("count"))
    .executeTakeFirstOrThrow();
  return count;
}

/** Works through `items`, so many at once. */
export async function inParallel<T>(
  size: number,
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  const rest = [...items];
  const worker = async (): Promise<void> => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: size }, worker));
}
