import { afterAll, describe, expect, test } from "vitest";
import { cloneDatabase } from "../support/clones.ts";
import { call } from "../support/fixtures.ts";
import { hiddenValue, landing, open, submit } from "../support/humans.ts";
import { startCommitLosingProxy } from "../support/lost-commits.ts";
import { startService } from "../support/service.ts";
import { createStories } from "../support/stories.ts";

const url = await cloneDatabase();
const proxy = await startCommitLosingProxy(url);
afterAll(() => proxy.close());
// What is made before a test goes another way, and loses nothing.
const calm = await startService({}, url);
const { app, db } = await startService({}, proxy.url);

/** A person's page, ready to be decided. */
async function begin(decision: "confirm" | "decline") {
  const { fixture, human, stories } = await createStories(calm.app, "pm_card_visa", 1);
  const [story] = stories;
  if (story === undefined) throw new Error("one was made");
  const { cookie } = human;
  const page = await open(app, story.path, { cookie });
  const form = `${story.path}/${decision}`;
  const fields = {
    nonce: hiddenValue(page, form, "nonce"),
    digest: hiddenValue(page, form, "digest"),
    form_token: hiddenValue(page, form),
  };
  const read = async () =>
    (await call(calm.app, "GET", `/approvals/${story.approvalId}`, { token: fixture.token })).body.approval;
  return { story, cookie, send: () => submit(app, form, fields, { cookie }), read };
}

function countSignatures({ accountId }: { accountId: string }) {
  return db.selectFrom("signatures").where("account_id", "=", accountId).selectAll().execute();
}

describe("when the answer to a decision's commit is lost", () => {
  test.each(["confirm", "decline"] as const)(
    "and it was not recorded, a %s says that nothing was",
    async (decision) => {
      const { story, cookie, send, read } = await begin(decision);
      const [answer] = await Promise.all([send(), proxy.loseNext("before")]);
      const { text } = await landing(app, answer, { cookie });
      expect(text).toContain("Nothing was recorded, and nothing was charged");
      expect(await countSignatures(story)).toEqual([]);
      expect((await read()).status).toBe("pending");
      expect((await send()).status).toBe(303);
      expect((await read()).status).toBe(decision === "confirm" ? "confirmed" : "declined");
    },
  );

  test("and a confirmation was recorded, the page shows it, and offers no second one", async () => {
    const { story, cookie, send } = await begin("confirm");
    const [answer] = await Promise.all([send(), proxy.loseNext("after")]);
    expect([answer.status, answer.headers.location]).toEqual([303, story.path]);
    expect(await countSignatures(story)).toHaveLength(1);
    expect((await open(app, story.path, { cookie })).text).not.toContain(`${story.path}/confirm`);
  });

  test("and a decline was recorded, the page shows it", async () => {
    const { story, cookie, send, read } = await begin("decline");
    const [answer] = await Promise.all([send(), proxy.loseNext("after")]);
    expect([answer.status, answer.headers.location]).toEqual([303, story.path]);
    expect((await read()).status).toBe("declined");
    expect((await open(app, story.path, { cookie })).text).not.toContain(`${story.path}/decline`);
  });

  test("and the database is away, the page says that the outcome is unknown, and where to look", async () => {
    const { story, send } = await begin("decline");
    const lost = proxy.loseNext("after").then(() => proxy.refuse());
    const [answer] = await Promise.all([send(), lost]);
    proxy.accept();
    expect(answer.status).toBe(503);
    expect(answer.text).toContain("We don't know yet");
    expect(answer.text).toContain(`href="${story.path}"`);
  });
});
