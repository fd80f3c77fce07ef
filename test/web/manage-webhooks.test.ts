import { Webhook } from "standardwebhooks";
import { describe, expect, test } from "vitest";
import { accountKey, newId } from "../../src/lib/ids.ts";
import { NO_ORIGIN } from "../../src/lib/origin.ts";
import { addByHand, rotateByHand } from "../../src/webhooks/by-hand-service.ts";
import { digestRows } from "../http/rows.ts";
import { createActor } from "../support/actors.ts";
import { letProofAge } from "../support/approval-scene.ts";
import { auditOf } from "../support/audit.ts";
import type { Fixture } from "../support/fixtures.ts";
import { operate } from "../support/fixtures.ts";
import {
  createHuman,
  type HumanFixture,
  hiddenValue,
  landing,
  open,
  PASSWORD,
  refusalOf,
  submit,
} from "../support/humans.ts";
import { startService } from "../support/service.ts";
import {
  callWebhooks,
  createSubscriber,
  deliverAll,
  FEATURES,
  openDispatcher,
  passTime,
  postMessage,
  startReceiver,
  subscribe,
  TO_LOOPBACK,
} from "../support/webhooks.ts";

const { app, db, config } = await startService(TO_LOOPBACK);
const dispatcher = openDispatcher({ db, config });

const HERE = "/settings/webhooks";
const ADD = `${HERE}/add`;
const URL = "https://example.com/hooks";

type Scene = Fixture & HumanFixture;

async function begin(role: "owner" | "approver" | "viewer" = "owner"): Promise<Scene> {
  const fixture = await createSubscriber(app);
  return { ...fixture, ...(await createHuman(app, fixture.account, role)) };
}

/** The form to add a webhook, as the page of this moment would send it. */
async function addForm({ cookie }: Scene, url = URL, types = ["message.received"]) {
  const page = await open(app, HERE, { cookie });
  const hidden = ["account_id", "webhook_id", "form_token"].map((name): [string, string] => [
    name,
    hiddenValue(page, ADD, name),
  ]);
  return [...hidden, ["url", url], ...types.map((type) => ["event_types", type])] as [string, string][];
}

/** Sends a form of the webhook's page. */
async function act(
  { cookie }: Scene,
  id: string,
  action: string,
  names: string[] = [],
  page = `${HERE}/${id}`,
) {
  const form = `${HERE}/${id}/${action}`;
  const shown = await open(app, page, { cookie });
  const fields = Object.fromEntries(
    ["form_token", ...names].map((name) => [name, hiddenValue(shown, form, name)]),
  );
  return { fields, answer: await submit(app, form, fields, { cookie }) };
}

const secretIn = (text: string): string | undefined => /whsec_[A-Za-z0-9+/=]+/.exec(text)?.[0];
const list = async ({ token }: Fixture) => (await callWebhooks(app, "GET", "", { token })).body.webhooks;
async function demote({ memberId }: Scene): Promise<void> {
  await db.updateTable("members").set({ role: "viewer" }).where("id", "=", memberId).execute();
}

async function handOf({ account, memberId, email, name }: Scene) {
  const { user_id } = await db
    .selectFrom("members")
    .where("id", "=", memberId)
    .select("user_id")
    .executeTakeFirstOrThrow();
  const person = { ...(await createActor(db, String(user_id))), email, name };
  return { person, account: { accountId: accountKey(account), accountName: "Acme" }, origin: NO_ORIGIN };
}

describe("a person who manages webhooks", () => {
  test.each(["owner", "approver"] as const)(
    "adds one by hand, as %s: its secret is shown once, and signs what arrives",
    async (role) => {
      const scene = await begin(role);
      const receiver = await startReceiver();
      const types = ["message.received", "approval.confirmed"];
      const answer = await submit(app, ADD, await addForm(scene, receiver.url("/in"), types), scene);
      expect(answer.status, answer.text).toBe(201);
      expect(answer.headers["cache-control"]).toBe("no-store");
      const secret = secretIn(answer.text) ?? "";
      const [webhook] = await list(scene);
      expect(webhook).toMatchObject({ url: receiver.url("/in"), eventTypes: types, status: "ACTIVE" });
      await postMessage(app, scene);
      await deliverAll(db, dispatcher);
      expect(receiver.received).toHaveLength(1);
      const { body, headers } = receiver.received[0] ?? { body: "", headers: {} };
      expect(new Webhook(secret).verify(body, headers as Record<string, string>)).toMatchObject({
        type: "message.received",
      });
      for (const path of [HERE, `${HERE}/${webhook.id}`]) {
        const page = await open(app, path, scene);
        expect(page.status).toBe(200);
        expect(secretIn(page.text)).toBeUndefined();
        expect(page.text).toContain(receiver.url("/in"));
      }
      expect((await open(app, `${HERE}/${webhook.id}`, scene)).text).toContain("<bdi>Ada Owner</bdi>");
    },
  );

  test("makes one webhook of a form that is sent twice, one after the other or at once", async () => {
    const scene = await begin();
    const form = await addForm(scene);
    const both = await Promise.all([submit(app, ADD, form, scene), submit(app, ADD, form, scene)]);
    expect(both.map(({ status }) => status).sort()).toEqual([201, 403]);
    expect((await submit(app, ADD, form, scene)).status).toBe(403);
    expect(await list(scene)).toHaveLength(1);
    expect((await submit(app, ADD, await addForm(scene), scene)).status).toBe(201);
    expect(await list(scene)).toHaveLength(2);
  });

  test.each([
    ["http://example.com/", "must begin with https://"],
    ["https://169.254.169.254/latest", "must lead to a public address"],
    ["nonsense", "must be a whole one"],
    ["", "must be a whole one"],
  ])("is told what is wrong with %j, and keeps what was typed", async (url, reason) => {
    const scene = await begin();
    const answer = await submit(app, ADD, await addForm(scene, url, ["contract.created"]), scene);
    const { text } = await landing(app, answer, scene);
    expect(text).toContain(reason);
    expect(text).toContain(`value="${url}"`);
    expect(text).toMatch(/value="contract.created" checked/);
    expect(text).not.toMatch(/value="approval.confirmed"[^>]* checked/);
    expect(await list(scene)).toEqual([]);
  });

  test("must choose at least one event, and one that there is", async () => {
    const scene = await begin();
    const none = await landing(app, await submit(app, ADD, await addForm(scene, URL, []), scene), scene);
    expect(none.text).toContain("Choose at least one event.");
    expect(none.text).toContain(`value="${URL}"`);
    expect((await submit(app, ADD, await addForm(scene, URL, ["everything"]), scene)).status).toBe(400);
    expect(await list(scene)).toEqual([]);
  });

  test("sees how deliveries went, and sends one again", async () => {
    const scene = await begin();
    const receiver = await startReceiver(() => 500);
    const { id } = await subscribe(app, scene.token, receiver.url());
    await postMessage(app, scene);
    const path = `${HERE}/${id}`;
    expect((await open(app, path, scene)).text).toContain("<b>Waiting to be sent</b>, now");
    await deliverAll(db, dispatcher);
    const failing = await open(app, path, scene);
    expect(failing.text).toContain("<b>Retrying</b> after 1 attempt");
    expect(failing.text).toContain("Last attempt: answered 500");
    for (let i = 0; i < 9; i++) {
      await passTime(db, scene, 24 * 60 * 60);
      await deliverAll(db, dispatcher);
    }
    expect((await open(app, path, scene)).text).toContain("<b>Failed</b> after 10 attempts");

    receiver.answer = () => 200;
    const { answer } = await act(scene, id, "redeliver", ["delivery_id"]);
    expect([answer.status, answer.headers.location]).toEqual([303, `${path}?said=again`]);
    await deliverAll(db, dispatcher);
    expect(receiver.received).toHaveLength(11);
    const delivered = await open(app, path, scene);
    expect(delivered.text).toContain("<b>Delivered</b>");
    expect(delivered.text).not.toContain("Last attempt");
  });

  test("sees a page of deliveries at a time", async () => {
    const scene = await begin();
    const { id } = await subscribe(app, scene.token, URL);
    for (let i = 1; i <= 13; i++) await postMessage(app, scene, `message-${i}`);
    const numbers = (text: string) =>
      [...text.matchAll(/<strong>Event (\d+)/g)].map(([, number]) => Number(number));
    const first = await open(app, `${HERE}/${id}`, scene);
    expect(numbers(first.text)).toHaveLength(10);
    const older = /href="([^"]+)">Older deliveries/.exec(first.text)?.[1] ?? "";
    const second = await open(app, older, scene);
    expect([...numbers(first.text), ...numbers(second.text)]).toHaveLength(13);
    expect(Math.max(...numbers(second.text))).toBeLessThan(Math.min(...numbers(first.text)));
    expect(second.text).not.toContain("Older deliveries");
    for (const before of ["-1", "x", "999999999999999999999"]) {
      expect((await open(app, `${HERE}/${id}?before=${before}`, scene)).status).toBe(200);
    }
  });

  test("replaces the secret, once for each time that the page was shown", async () => {
    const scene = await begin();
    const { id, secret: first } = await subscribe(app, scene.token, URL);
    const { answer, fields } = await act(scene, id, "rotate-secret", ["shown"]);
    expect(answer.status).toBe(200);
    const second = secretIn(answer.text);
    expect(second).toMatch(/^whsec_/);
    expect(second).not.toBe(first);
    // As when that answer's page is loaded again.
    expect((await submit(app, `${HERE}/${id}/rotate-secret`, fields, scene)).status).toBe(403);
    expect((await open(app, `${HERE}/${id}`, scene)).text).toContain("The secret was replaced");
    const { answer: again } = await act(scene, id, "rotate-secret", ["shown"]);
    expect(secretIn(again.text)).not.toBe(second);
  });

  test("must prove that they are there to add or delete one or to replace a secret, if they have not for 5 minutes", async () => {
    const scene = await begin();
    const { id } = await subscribe(app, scene.token, URL);
    await letProofAge({ db }, scene);
    const page = await open(app, `${HERE}/${id}`, scene);
    const rotate = `${HERE}/${id}/rotate-secret`;
    const remove = `${HERE}/${id}/delete`;
    const asked = await open(app, remove, scene);
    const forms: [string, [string, string][]][] = [
      [ADD, await addForm(scene, "https://example.com/kept")],
      [rotate, ["form_token", "shown"].map((name) => [name, hiddenValue(page, rotate, name)])],
      [remove, [["form_token", hiddenValue(asked, remove)]]],
    ];
    const before = await digestRows(db);
    for (const [url, form] of forms) {
      for (const [typed, said] of [
        [[], "Enter your password to continue."],
        [[["password", "not this one"]], "That password isn’t right."],
      ] as [[string, string][], string][]) {
        const answer = await submit(app, url, [...form, ...typed], scene);
        expect(refusalOf(answer), url).toContain(said);
        const { text } = await landing(app, answer, scene);
        expect([text.includes(said), secretIn(text)], url).toEqual([true, undefined]);
        if (url === ADD) expect(text).toContain('value="https://example.com/kept"');
      }
    }
    // Attempts are counted, and wrong passwords audited.
    const { "auth.attempts": _counted, "public.audit_entries": _audited, ...after } = await digestRows(db);
    const { "auth.attempts": _none, "public.audit_entries": _nothing, ...rest } = before;
    expect(after).toEqual(rest);
    for (const [url, form] of forms) {
      await letProofAge({ db }, scene);
      const answer = await submit(app, url, [...form, ["password", PASSWORD]], scene);
      if (url === remove) expect(answer.headers.location).toBe(`${HERE}?said=deleted`);
      else expect(secretIn(answer.text), answer.text).toBeDefined();
    }
  });

  test("is mailed of what they add, replace and delete, as are the owners, with where it leads; a trace stays", async () => {
    const approver = await begin("approver");
    const owner = await createHuman(app, approver.account);
    await submit(app, ADD, await addForm(approver, "https://hooks.example.com/secret-path"), approver);
    const [{ id }] = await list(approver);
    await act(approver, id, "rotate-secret", ["shown"]);
    await act(approver, id, "delete", [], `${HERE}/${id}/delete`);
    for (const { email } of [approver, owner]) {
      const mails = await db
        .selectFrom("mails")
        .where("recipient", "=", email)
        .where("subject", "like", "%webhook%")
        .orderBy("created_at")
        .select(["subject", "body"])
        .execute();
      expect(mails.map(({ subject }) => subject)).toEqual([
        "Countersign: a new webhook for “Acme”",
        "Countersign: a webhook of “Acme” has another secret",
        "Countersign: a webhook of “Acme” was deleted",
      ]);
      for (const { body } of mails) {
        expect(body).toContain(`“Ada Owner” (${approver.email})`);
        expect(body).toContain("“hooks. example. com”");
        expect(body).not.toContain("secret-path");
      }
    }
    const actions = ["webhook_added", "webhook_secret_replaced", "webhook_deleted"];
    const entries = await auditOf(db, approver.email, actions);
    expect(entries.map(({ action }) => action)).toEqual(actions);
    expect(entries[0]).toMatchObject({ subjectId: id, after: { host: "hooks.example.com" } });
  });

  test("who became a viewer while their form was on its way adds nothing, and replaces nothing", async () => {
    const scene = await begin("approver");
    const { id } = await subscribe(app, scene.token, URL);
    const hand = await handOf(scene);
    await demote(scene);
    const body = { url: URL, eventTypes: ["message.received" as const] };
    const deps = { db, config };
    await expect(addByHand(deps, hand, newId(), body)).rejects.toThrow("Your role");
    const shown = { oldSecretUntil: null };
    await expect(rotateByHand(deps, hand, id, shown)).rejects.toThrow("Your role");
    expect(await list(scene)).toHaveLength(1);
  });

  test("deletes one after being asked", async () => {
    const scene = await begin();
    const { id } = await subscribe(app, scene.token, URL);
    const asked = await open(app, `${HERE}/${id}/delete`, scene);
    expect(asked.status).toBe(200);
    expect(await list(scene)).toHaveLength(1);
    const { answer } = await act(scene, id, "delete", [], `${HERE}/${id}/delete`);
    expect([answer.status, answer.headers.location]).toEqual([303, `${HERE}?said=deleted`]);
    expect(await list(scene)).toEqual([]);
    expect((await open(app, `${HERE}/${id}`, scene)).status).toBe(404);
    expect((await open(app, `${HERE}?said=deleted`, scene)).text).toContain(
      "No more events will be sent to it",
    );
  });

  test("sees why one is disabled, and can only delete it", async () => {
    const scene = await begin();
    const receiver = await startReceiver(() => 410);
    const { id } = await subscribe(app, scene.token, receiver.url());
    await postMessage(app, scene);
    await deliverAll(db, dispatcher);
    const [{ disabledReason }] = await list(scene);
    expect((await open(app, HERE, scene)).text).toContain(disabledReason);
    const { text } = await open(app, `${HERE}/${id}`, scene);
    expect(text).toContain(disabledReason);
    expect(text).not.toContain("/redeliver");
    expect(text).not.toContain("/rotate-secret");
    expect((await act(scene, id, "delete", [], `${HERE}/${id}/delete`)).answer.status).toBe(303);
  });

  test("sees each of their accounts apart, and may do in each what their role there allows", async () => {
    const [scene, other] = [await begin(), await begin()];
    const { user_id } = await db
      .selectFrom("members")
      .select("user_id")
      .where("id", "=", scene.memberId)
      .executeTakeFirstOrThrow();
    const now = new Date();
    const second = {
      account_id: accountKey(other.account),
      id: newId(),
      role: "viewer",
      status: "active",
    } as const;
    await db
      .insertInto("members")
      .values({ ...second, email: scene.email, name: "Ada", user_id, created_at: now, updated_at: now })
      .execute();
    const own = await subscribe(app, scene.token, "https://example.com/own");
    const theirs = await subscribe(app, other.token, "https://example.com/theirs");
    const { text } = await open(app, HERE, scene);
    expect(text).toContain("https://example.com/own");
    expect(text).toContain("https://example.com/theirs");
    expect(text.match(/action="\/settings\/webhooks\/add"/g)).toHaveLength(1);
    expect(text).toContain(`value="${accountKey(scene.account)}"`);
    expect((await open(app, `${HERE}/${own.id}/delete`, scene)).status).toBe(200);
    expect((await open(app, `${HERE}/${theirs.id}`, scene)).status).toBe(200);
    expect((await open(app, `${HERE}/${theirs.id}/delete`, scene)).status).toBe(403);
  });

  test("shows markup in a URL as text", async () => {
    const scene = await begin();
    const { id } = await subscribe(app, scene.token, `https://example.com/"><script>alert(1)</script>`);
    for (const path of [HERE, `${HERE}/${id}`, `${HERE}/${id}/delete`]) {
      expect((await open(app, path, scene)).text).not.toContain("<script");
    }
  });

  test("has ten at most", async () => {
    const scene = await begin();
    const form = await addForm(scene);
    for (let i = 0; i < 10; i++) await subscribe(app, scene.token, `${URL}/${i}`);
    expect((await open(app, HERE, scene)).text).toContain("Delete one to add another");
    expect(refusalOf(await submit(app, ADD, form, scene))).toContain("Nothing was done");
    expect(await list(scene)).toHaveLength(10);
  });
});

describe("a person who may not manage webhooks", () => {
  test("sees them as a viewer, with nothing to press", async () => {
    const scene = await begin("viewer");
    const { id } = await subscribe(app, scene.token, URL);
    await postMessage(app, scene);
    const [many, one] = [await open(app, HERE, scene), await open(app, `${HERE}/${id}`, scene)];
    expect(many.text).toContain(URL);
    expect(one.text).toContain("message.received");
    for (const { text } of [many, one]) expect(text).not.toMatch(/action="\/settings\/webhooks/);
    expect((await open(app, `${HERE}/${id}/delete`, scene)).status).toBe(403);
  });

  test("changes nothing with a form from before their role was taken away", async () => {
    const scene = await begin("approver");
    const receiver = await startReceiver(() => 500);
    const { id } = await subscribe(app, scene.token, receiver.url());
    await postMessage(app, scene);
    await deliverAll(db, dispatcher);
    const page = await open(app, `${HERE}/${id}`, scene);
    const asked = await open(app, `${HERE}/${id}/delete`, scene);
    const value = (action: string, name?: string) => hiddenValue(page, `${HERE}/${id}/${action}`, name);
    const forms: [string, Record<string, string> | [string, string][]][] = [
      [ADD, await addForm(scene)],
      [`${HERE}/${id}/rotate-secret`, { form_token: value("rotate-secret"), shown: "" }],
      [
        `${HERE}/${id}/redeliver`,
        { form_token: value("redeliver"), delivery_id: value("redeliver", "delivery_id") },
      ],
      [`${HERE}/${id}/delete`, { form_token: hiddenValue(asked, `${HERE}/${id}/delete`) }],
    ];
    await demote(scene);
    const before = await db.selectFrom("webhooks").where("id", "=", id).selectAll().executeTakeFirst();
    for (const [url, fields] of forms) {
      const { status, text } = await submit(app, url, fields, scene);
      expect([status, text], url).toEqual([
        403,
        expect.stringContaining("You don’t have permission to do this"),
      ]);
    }
    expect(await db.selectFrom("webhooks").where("id", "=", id).selectAll().executeTakeFirst()).toEqual(
      before,
    );
    expect(await list(scene)).toHaveLength(1);
  });

  test("finds nothing as a member of another account: neither page nor form", async () => {
    const scene = await begin();
    const stranger = await begin();
    const { id } = await subscribe(app, scene.token, URL);
    const unknown = newId();
    for (const path of ["", "/delete"]) {
      const [foreign, none] = [
        await open(app, `${HERE}/${id}${path}`, stranger),
        await open(app, `${HERE}/${unknown}${path}`, stranger),
      ];
      expect([foreign.status, foreign.text]).toEqual([404, none.text]);
    }
    // A form of their own page, turned to another person's account or webhook.
    const form = new Map(await addForm(stranger));
    form.set("account_id", accountKey(scene.account));
    expect((await submit(app, ADD, [...form], stranger)).status).toBe(403);
    const own = await subscribe(app, stranger.token, URL);
    const { fields } = await act(stranger, own.id, "rotate-secret", ["shown"]);
    expect((await submit(app, `${HERE}/${id}/rotate-secret`, fields, stranger)).status).toBe(403);
    expect(await list(scene)).toHaveLength(1);
  });

  test("is sent to sign in first, and nothing is done", async () => {
    const scene = await begin();
    const { id } = await subscribe(app, scene.token, URL);
    for (const path of [HERE, `${HERE}/${id}`]) {
      const { status, headers } = await open(app, path);
      expect([status, headers.location]).toEqual([303, `/sign-in?return_to=${encodeURIComponent(path)}`]);
    }
    const { status } = await submit(app, `${HERE}/${id}/delete`, { form_token: "x" });
    expect([status, (await list(scene)).length]).toEqual([303, 1]);
  });

  test("is told so where the operator has not enabled webhooks", async () => {
    const scene = await begin();
    const form = await addForm(scene);
    await operate(app, "PUT", `/accounts/${scene.account}`, {
      features: { ...FEATURES, public_api_webhooks: false },
    });
    const page = await open(app, HERE, scene);
    expect(page.text).toContain("Webhooks aren’t enabled for this account");
    expect(page.text).not.toContain(`action="${ADD}"`);
    const { status, text } = await submit(app, ADD, form, scene);
    expect([status, text]).toEqual([403, expect.stringContaining("Nothing was done")]);
  });
});
