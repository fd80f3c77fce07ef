import { sql } from "kysely";
import { beforeAll, describe, expect, test } from "vitest";
import { listRoutes } from "../../src/http/route-list.ts";
import { digestRows } from "../http/rows.ts";
import { MAILING } from "../support/agents.ts";
import { letProofAge } from "../support/approval-scene.ts";
import { type RawAnswer, sendHeld } from "../support/held-body.ts";
import { cookieNow, open } from "../support/humans.ts";
import { openStripeRails } from "../support/rails.ts";
import { startService, type TestService } from "../support/service.ts";
import { beginActing, cardFormEntries, ENTRIES, type Scene } from "./acting-scenes.ts";

const sandbox = await startService(MAILING);
const rails = await openStripeRails();
const stripe = await startService({}, undefined, rails);
const onCardForm = cardFormEntries(rails);
beforeAll(async () => {
  for (const { app } of [sandbox, stripe]) await app.listen({ port: 0, host: "127.0.0.1" });
});

/** Routes on which no session acts: their callers have none yet, or identify themselves by a secret. */
const WITHOUT_SESSION = ["/sign-in", "/sign-in/passkey", "/sign-in/passkey/options", "/reset", "/reset/new"];
const SAFE = ["GET", "HEAD", "OPTIONS"];

/** The service's routes on which people change something. */
function changing({ app }: TestService): string[] {
  const routes = listRoutes(app).filter(({ method, access }) => !SAFE.includes(method) && access?.by);
  const ofPeople = routes.filter(
    ({ access, url }) =>
      access?.by === "session" || (access?.by === "public" && !/^\/(api|stripe|webhooks)\b/.test(url)),
  );
  return [...new Set(ofPeople.map(({ url }) => url))].filter((url) => !WITHOUT_SESSION.includes(url)).sort();
}

/** What ends before the body arrives, how it is restored, and the expected answer. */
const ENDINGS: Record<string, { ofMember: boolean; end: (scene: Scene) => Promise<() => Promise<void>> }> = {
  "the session is ended": {
    ofMember: false,
    end: async ({ db, sessionId }) => {
      const row = await db
        .deleteFrom("auth.sessions")
        .where("id", "=", sessionId)
        .returningAll()
        .executeTakeFirstOrThrow();
      return async () => void (await db.insertInto("auth.sessions").values(row).execute());
    },
  },
  "the session's token is replaced": {
    ofMember: false,
    end: async ({ db, sessionId }) => {
      const set = (digest: Buffer) =>
        db.updateTable("auth.sessions").set({ token_digest: digest }).where("id", "=", sessionId).execute();
      const { token_digest } = await db
        .selectFrom("auth.sessions")
        .where("id", "=", sessionId)
        .select("token_digest")
        .executeTakeFirstOrThrow();
      await set(Buffer.alloc(32, sessionId.slice(-8)));
      return async () => void (await set(token_digest));
    },
  },
  "the membership is removed": {
    ofMember: true,
    end: async ({ db, memberId }) => {
      await sql`update members set status = 'removed' where id = ${memberId}`.execute(db);
      return async () =>
        void (await sql`update members set status = 'active' where id = ${memberId}`.execute(db));
    },
  },
  "the role becomes viewer": {
    ofMember: true,
    end: async ({ db, memberId, role }) => {
      await sql`update members set role = 'viewer' where id = ${memberId}`.execute(db);
      return async () =>
        void (await sql`update members set role = ${role} where id = ${memberId}`.execute(db));
    },
  },
};

/** All stored rows, except the counts of attempts. */
async function stored({ db }: Scene): Promise<Record<string, string>> {
  const { "auth.attempts": _, ...rest } = await digestRows(db);
  return rest;
}

/** The forms of an approval answer with a redirect, to a page that says why they were rejected. */
function expectRejected({ status, said, text }: RawAnswer, ending: string): void {
  if (status === 303) expect(said, ending).toBeDefined();
  else expect([401, 403, 404, 409], `${ending}: ${text}`).toContain(status);
}

function walk(service: TestService, entries: typeof ENTRIES): void {
  test.each(Object.keys(entries))("%s changes nothing for a person who may no longer act", async (url) => {
    const begin = entries[url];
    if (begin === undefined) throw new TypeError("it is listed");
    const first = await beginActing(service);
    const { path, fields, ofMember = true, by, ...how } = await begin(first);
    const scene = { ...first, ...by };
    const request = { path, fields, cookie: cookieNow(scene.cookie) };
    for (const [ending, { ofMember: needsMember, end }] of Object.entries(ENDINGS)) {
      if (needsMember && !ofMember) continue;
      if (how.viewersToo && ending === "the role becomes viewer") continue;
      let before = {};
      let restore = async () => {};
      const answer = await sendHeld(service.app, request, async () => {
        restore = await end(scene);
        before = await stored(scene);
      });
      expect(await stored(scene), `${ending}: ${answer.status} ${answer.text}`).toEqual(before);
      if (!how.answersAll) expectRejected(answer, ending);
      expect(answer.setsCookie, ending).toBe(false);
      await restore();
    }
    // The same request succeeds while they may act.
    const before = await stored(scene);
    const answer = await sendHeld(service.app, request, async () => {});
    expect([200, 201, 204, 303], answer.text).toContain(answer.status);
    expect(answer.said).toBeUndefined();
    if (!how.asks) expect(await stored(scene)).not.toEqual(before);
  });
}

describe("A form whose body comes late", () => {
  test("the walk with a late body covers every route on which people change something", () => {
    expect(changing(sandbox)).toEqual(Object.keys(ENTRIES).sort());
    const onStripe = changing(stripe).filter((url) => ENTRIES[url] === undefined);
    expect(onStripe).toEqual(Object.keys(onCardForm).sort());
  });

  test("a late body confirms nothing once the proof of presence is too old", async () => {
    const scene = await beginActing(sandbox);
    const { path, fields } = (await ENTRIES["/approvals/:approvalId/confirm"]?.(scene)) ?? {};
    if (path === undefined || fields === undefined) throw new TypeError("it is listed");
    let before = {};
    const cookie = cookieNow(scene.cookie);
    const answer = await sendHeld(sandbox.app, { path, fields, cookie }, async () => {
      await letProofAge(sandbox, scene);
      before = await stored(scene);
    });
    expect(await stored(scene), `${answer.status} ${answer.text}`).toEqual(before);
    const page = await open(sandbox.app, answer.leadsTo ?? "", { cookie: `${cookie}; ${answer.said}` });
    expect(page.text).toContain("Nothing was confirmed.");
  });

  walk(sandbox, ENTRIES);
  walk(stripe, onCardForm);
});
