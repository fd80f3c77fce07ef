import { expect } from "vitest";
import { findSession, payCheckout } from "../../src/billing/sandbox-client.ts";
import type { TopUpKey } from "../../src/billing/top-up-service.ts";
import { findTopUp, type TopUpRow } from "../../src/billing/top-up-store.ts";
import type { Db } from "../../src/database/connection.ts";
import type { App } from "../../src/http/app.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { type Answer, call, createFixture, type Fixture } from "./fixtures.ts";
import { createHuman, hiddenValue, open, submit } from "./humans.ts";
import type { FakeStripe } from "./stripe/fake.ts";

const CREDITS = "/api/public/v1/credits";

/** An account that may use credits. */
export function createCreditAccount(app: App): Promise<Fixture> {
  return createFixture(app, { features: { public_api_payments_write: true, public_api_credits: true } });
}

export function requestTopUp(
  app: App,
  { token }: Pick<Fixture, "token">,
  body: unknown = { amountUsd: 250 },
  headers: Record<string, string> = {},
): Promise<Answer> {
  return call(app, "POST", `${CREDITS}/top-ups`, { token, body, headers });
}

export function readCredits(app: App, { token }: Pick<Fixture, "token">, path = ""): Promise<Answer> {
  return call(app, "GET", CREDITS + path, { token });
}

export type AskedTopUp = Fixture & TopUpKey & { cookie: string; email: string; path: string };

/** A top-up of $250 that an agent asked for, with an owner who may pay for it. */
export async function createTopUp(app: App): Promise<AskedTopUp> {
  const fixture = await createCreditAccount(app);
  const { cookie, email } = await createHuman(app, fixture.account);
  const { body } = await requestTopUp(app, fixture);
  const id = body.topUpId;
  return { ...fixture, accountId: accountKey(fixture.account), id, cookie, email, path: `/top-ups/${id}` };
}

/** Presses a button of the top-up's page, so many times at once. @returns the last answer */
export async function press(
  app: App,
  { path, cookie }: AskedTopUp,
  verb: "checkout" | "look",
  times = 1,
): Promise<Answer> {
  const page = await open(app, verb === "look" ? `${path}?returned` : path, { cookie });
  const fields = { form_token: hiddenValue(page, `${path}/${verb}`) };
  const presses = Array.from({ length: times }, () => submit(app, `${path}/${verb}`, fields, { cookie }));
  return (await Promise.all(presses)).at(-1) as Answer;
}

export async function rowOf(db: Db, key: TopUpKey): Promise<TopUpRow> {
  const row = await findTopUp(db, key);
  if (row === undefined) throw new Error("there is no such top-up");
  return row;
}

/** What a person does on the processor's page. */
export async function payPage(db: Db, stripe: FakeStripe | undefined, sessionId: string): Promise<void> {
  if (stripe !== undefined) return void stripe.payCheckout(sessionId);
  const session = await findSession(db, sessionId);
  if (session === undefined) throw new Error("there is no such page");
  expect(await payCheckout(db, session, "pm_card_visa")).toBeUndefined();
}
