import { type RawBuilder, sql } from "kysely";
import { describe, expect, test } from "vitest";
import { accountKey } from "../../src/lib/ids.ts";
import {
  alertOf,
  anotherApproval,
  askChallenge,
  beginCoSign,
  type CoSignOptions,
  type CoSignStory,
  changeMember,
  chargesOf,
  type Fields,
  landForm,
  readForm,
  readSignatures,
  refused,
  signForm,
  statusOf,
} from "../support/co-sign.ts";
import { operate } from "../support/fixtures.ts";
import { createHuman, PASSWORD } from "../support/humans.ts";
import { givePasskey, userIdOf } from "../support/passkeys.ts";
import { startService } from "../support/service.ts";

const service = await startService();
const { app, db } = service;

const begin = (options?: CoSignOptions) => beginCoSign(service, options);

type Refusal = {
  options?: CoSignOptions;
  /** What happens between the passkey's answer and the form that carries it; returns what is sent then. */
  between: (story: CoSignStory, fields: Fields) => Promise<Fields> | Fields;
  status: number;
  says: RegExp;
};

const NO_PASSKEY = /Nothing was confirmed\. That passkey wasn’t accepted/;
const LAPSED = /Nothing was confirmed\. This passkey request has expired or was replaced by a newer one/;
const CHANGED = /Nothing was confirmed: the Visa card ending in 0002 pays now/;

const withLies =
  (lies: Parameters<CoSignStory["passkey"]["assert"]>[1]) => (story: CoSignStory, fields: Fields) => ({
    ...fields,
    assertion: JSON.stringify(story.passkey.assert(Buffer.from(fields.digest ?? "", "hex"), lies)),
  });

async function setChallenge({ account }: CoSignStory, change: RawBuilder<unknown>): Promise<void> {
  await sql`update co_sign_challenges set ${change} where account_id = ${accountKey(account)}`.execute(db);
}

const refusals: Record<string, Refusal> = {
  "no user verification": { between: withLies({ userVerified: false }), status: 200, says: NO_PASSKEY },
  "no person present": { between: withLies({ userPresent: false }), status: 200, says: NO_PASSKEY },
  "another origin": { between: withLies({ origin: "https://evil.example" }), status: 200, says: NO_PASSKEY },
  "another relying party": { between: withLies({ rpId: "evil.example" }), status: 200, says: NO_PASSKEY },
  "a frame of another site": { between: withLies({ crossOrigin: true }), status: 200, says: NO_PASSKEY },
  "a counter that has gone back": {
    options: { counter: 9 },
    between: withLies({ counter: 8 }),
    status: 200,
    says: NO_PASSKEY,
  },
  "a chosen challenge": {
    between: (story, fields) => ({
      ...fields,
      assertion: JSON.stringify(story.passkey.assert(Buffer.alloc(32, 7))),
    }),
    status: 200,
    says: NO_PASSKEY,
  },
  "another person's passkey": {
    between: async ({ account }, fields) => {
      const other = await createHuman(app, account, "viewer");
      const passkey = await givePasskey(db, await userIdOf(db, other.email));
      return {
        ...fields,
        assertion: JSON.stringify(passkey.assert(Buffer.from(fields.digest ?? "", "hex"))),
      };
    },
    status: 200,
    says: NO_PASSKEY,
  },
  "a passkey that was removed meanwhile": {
    between: async ({ userId }, fields) => {
      await sql`delete from auth.passkeys where user_id = ${userId}`.execute(db);
      return fields;
    },
    status: 200,
    says: NO_PASSKEY,
  },
  "a passkey that does not count yet": {
    between: async ({ userId }, fields) => {
      await sql`update auth.passkeys set active_from = now() + interval '1 hour' where user_id = ${userId}`.execute(
        db,
      );
      return fields;
    },
    status: 200,
    says: NO_PASSKEY,
  },
  "an answer that is none": {
    between: (_story, fields) => ({ ...fields, assertion: "{}" }),
    status: 200,
    says: NO_PASSKEY,
  },
  "a prompt that came to nothing": {
    between: (_story, fields) => ({ ...fields, assertion: "" }),
    status: 200,
    says: NO_PASSKEY,
  },
  "no answer, where the account demands one, though the password was typed just now": {
    between: (_story, { assertion: _, ...fields }) => ({ ...fields, password: PASSWORD }),
    status: 200,
    says: /Nothing was confirmed\. This account confirms with passkeys only.*JavaScript/,
  },
  "more than 5 minutes by the database's clock": {
    between: async (story, fields) => {
      await setChallenge(
        story,
        sql`issued_at = issued_at - interval '5 minutes', expires_at = expires_at - interval '5 minutes'`,
      );
      return fields;
    },
    status: 200,
    says: LAPSED,
  },
  "an answer to what another session was asked": {
    between: async (story, fields) => {
      await setChallenge(story, sql`session_id = 'another'`);
      return fields;
    },
    status: 200,
    says: LAPSED,
  },
  "a challenge that was never issued": {
    between: async ({ account }, fields) => {
      await sql`delete from co_sign_challenges where account_id = ${accountKey(account)}`.execute(db);
      return fields;
    },
    status: 200,
    says: LAPSED,
  },
  "the answer of one tab, when another has asked since": {
    between: async (story, fields) => {
      await askChallenge(app, story, await readForm(app, story));
      return fields;
    },
    status: 200,
    says: LAPSED,
  },
  "an answer for another approval": {
    between: async (story, fields) => {
      const { assertion = "" } = await signForm(app, await anotherApproval(app, story));
      return { ...fields, assertion };
    },
    status: 200,
    says: NO_PASSKEY,
  },
  "another card since": {
    between: async ({ account }, fields) => {
      await operate(app, "POST", `/accounts/${account}/payment-methods`, {
        paymentMethod: "pm_card_chargeDeclined",
      });
      return fields;
    },
    status: 200,
    says: CHANGED,
  },
  "other terms since": {
    between: async ({ account, milestone }, fields) => {
      await operate(app, "PUT", `/accounts/${account}/milestones/${milestone}`, { amountUsd: 460 });
      return fields;
    },
    status: 200,
    says: /This was closed while your page was open/,
  },
  "a member who was removed": {
    between: async (story, fields) => {
      await changeMember(db, story, { status: "removed" });
      return fields;
    },
    status: 404,
    says: /^$/,
  },
  "a member who may only read by now": {
    between: async (story, fields) => {
      await changeMember(db, story, { role: "viewer" });
      return fields;
    },
    status: 200,
    says: /Your role in this account doesn’t allow this/,
  },
  "a session that has ended": {
    between: async ({ userId }, fields) => {
      await sql`delete from auth.sessions where user_id = ${userId}`.execute(db);
      return fields;
    },
    status: 200,
    says: /^$/,
  },
};

describe.for(Object.entries(refusals))("%s", ([, { options = {}, between, status, says }]) => {
  test("confirms nothing and writes nothing, and the page says what to do", async () => {
    const story = await begin(options);
    const lies = options.counter === undefined ? {} : { lies: { counter: options.counter + 1 } };
    const fields = await between(story, await signForm(app, story, lies));
    const answer = await refused(db, () => landForm(app, story, fields));
    expect(answer.status, answer.text).toBe(status);
    expect(alertOf(answer)).toMatch(says);
    expect(await statusOf(app, story)).not.toBe("confirmed");
    expect(await readSignatures(db, story)).toEqual([]);
    expect(await chargesOf(app, story)).toEqual([]);
  });
});
