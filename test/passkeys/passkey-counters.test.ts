import { randomBytes } from "node:crypto";
import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { listAudit } from "../../src/audit/service.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { relyingPartyOf } from "../../src/passkeys/relying-party.ts";
import { listOwnPasskeys } from "../../src/passkeys/store.ts";
import { checkUse } from "../../src/passkeys/use-service.ts";
import { beginCoSign, sendForm, signForm, statusOf } from "../support/co-sign.ts";
import { open } from "../support/humans.ts";
import { givePasskey, PASSKEYS, signInByPasskey } from "../support/passkeys.ts";
import { startService } from "../support/service.ts";

const service = await startService();
const { app, db, config } = service;

const copiesIn = async (account: string) =>
  (await listAudit(db, accountKey(account), {})).entries.filter(
    ({ action }) => action === "passkey_possibly_copied",
  );

describe("a counter that stands still or goes back", () => {
  test.each([9, 4, 0])(
    "at %i is taken of a synced passkey, and recorded as a possible copy",
    async (counter) => {
      const story = await beginCoSign(service, { counter: 9, synced: true });
      expect(await copiesIn(story.account)).toEqual([]);
      const answer = await signInByPasskey(app, story.passkey, story.userId, { lies: { counter } });
      expect(answer.status).toBe(303);
      const [passkey] = await listOwnPasskeys(db, story.userId);
      expect(await copiesIn(story.account)).toMatchObject([
        {
          subject: { kind: "passkey", id: passkey?.id },
          before: { counter: 9 },
          after: { counter },
        },
      ]);
      expect((await open(app, `${PASSKEYS}/${passkey?.id}`, story)).text).toContain("may have been copied");
    },
  );

  test("a synced passkey with a counter that does not rise confirms, and is recorded as a possible copy", async () => {
    const story = await beginCoSign(service, { counter: 9, synced: true });
    const answer = await sendForm(app, story, await signForm(app, story, { lies: { counter: 9 } }));
    expect(answer.status, answer.text).toBe(303);
    expect(await statusOf(app, story)).toBe("confirmed");
    expect(await copiesIn(story.account)).toHaveLength(1);
  });

  test("a counter that is always 0 is not recorded as a possible copy", async () => {
    const story = await beginCoSign(service, { synced: true });
    for (const _use of [1, 2])
      expect((await signInByPasskey(app, story.passkey, story.userId)).status).toBe(303);
    expect(await copiesIn(story.account)).toEqual([]);
  });

  test("a device-bound passkey with a counter that does not rise is refused and not recorded", async () => {
    const story = await beginCoSign(service, { counter: 9 });
    for (const counter of [9, 4, 0]) {
      const answer = await signInByPasskey(app, story.passkey, story.userId, { lies: { counter } });
      expect(answer.status).toBe(422);
    }
    expect(await copiesIn(story.account)).toEqual([]);
    expect(await listOwnPasskeys(db, story.userId)).toMatchObject([{ counter: 9, possible_copy_at: null }]);
  });
});

test("a refused answer is logged with reason and request id, without what was sent", async () => {
  const story = await beginCoSign(service);
  const passkey = await givePasskey(db, story.userId, { counter: 3 });
  const row = (await listOwnPasskeys(db, story.userId)).find(({ counter }) => counter === 3);
  const relyingParty = relyingPartyOf(config);
  if (row === undefined || relyingParty === undefined) throw new Error("there is no passkey");
  for (const [lies, reason] of [
    [{ counter: 3 }, "counter_not_ahead"],
    [{ counter: 4, userVerified: false }, "person_not_verified"],
    [{ counter: 4, origin: "https://evil.example" }, "other_origin"],
  ] as const) {
    const stream = new PassThrough();
    const origin = { address: "198.51.100.7", requestId: "r-1" };
    const checking = { relyingParty, logger: createLogger("info", stream), origin };
    const challenge = randomBytes(32);
    const assertion = passkey.assert(challenge, lies);
    const answer = { assertion: { ...assertion, type: "public-key" as const }, challenge };
    expect(await checkUse(checking, row, answer)).toBeUndefined();
    const line = String(stream.read());
    expect(JSON.parse(line)).toMatchObject({ reqId: "r-1", reason, passkeyId: row.id });
    for (const sent of [challenge.toString("base64url"), assertion.response.signature, "evil.example"])
      expect(line).not.toContain(sent);
  }
});
