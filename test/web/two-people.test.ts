import { describe, expect, test } from "vitest";
import { call, createFixture, operate } from "../support/fixtures.ts";
import { createHuman, type HumanFixture, hiddenValue, open, submit } from "../support/humans.ts";
import { startService } from "../support/service.ts";
import { ask, type Story } from "../support/stories.ts";

const { app, db } = await startService();

async function begin() {
  const fixture = await createFixture(app);
  await operate(app, "PUT", `/accounts/${fixture.account}`, { secondSignerFromUsd: 450 });
  const hanna = await createHuman(app, fixture.account);
  const bob = await createHuman(app, fixture.account, "viewer");
  const viewer = await createHuman(app, fixture.account, "viewer");
  await db
    .updateTable("members")
    .set({ role: "approver", name: "Bob" })
    .where("id", "=", bob.memberId)
    .execute();
  await db.updateTable("members").set({ name: "Hanna" }).where("id", "=", hanna.memberId).execute();
  return { ...fixture, hanna, bob, viewer, story: await ask(app, fixture, fixture.milestone) };
}

async function fieldsOf({ path }: Story, { cookie }: HumanFixture): Promise<Record<string, string>> {
  const page = await open(app, path, { cookie });
  const value = (name?: string) => hiddenValue(page, `${path}/confirm`, name);
  return { nonce: value("nonce"), digest: value("digest"), form_token: value() };
}

describe("the page of an approval that two people must confirm", () => {
  test("says so before the first, who was first after, and who both were at the end", async () => {
    const { story, token, hanna, bob, viewer } = await begin();
    const confirm = async (person: HumanFixture) =>
      submit(app, `${story.path}/confirm`, await fieldsOf(story, person), person);
    const before = await open(app, story.path, hanna);
    expect(before.text).toContain("another owner or approver must confirm too");
    expect(before.text).not.toContain("Confirm and fund");

    const twice = await fieldsOf(story, hanna);
    expect((await confirm(hanna)).status).toBe(303);
    expect((await submit(app, `${story.path}/confirm`, twice, hanna)).status).toBe(303);
    for (const person of [hanna, bob, viewer])
      expect((await open(app, story.path, person)).text).toContain(
        "<strong>1 of 2, by “<bdi>Hanna</bdi>”</strong> on",
      );
    const inbox = await open(app, "/approvals", bob);
    expect(inbox.text).toContain("1 of 2, by <bdi>Hanna</bdi>");
    const own = await open(app, story.path, hanna);
    expect(own.text).toContain("you have confirmed this. Another owner or approver must confirm it too.");
    expect(own.text).not.toContain(`${story.path}/confirm`);
    expect(own.text).toContain(`${story.path}/decline`);
    const { approval } = (await call(app, "GET", story.path, { token })).body;
    expect([approval.status, approval.result]).toEqual(["pending", null]);

    expect((await open(app, story.path, bob)).text).toContain("Confirm and fund");
    expect((await confirm(bob)).status).toBe(303);
    expect((await open(app, story.path, viewer)).text).toContain(
      "Confirmed by <bdi>Hanna</bdi> and <bdi>Bob</bdi>",
    );
  });
});
