import { hash } from "node:crypto";
import { expect, test } from "vitest";
import { listRoutes } from "../../src/http/route-list.ts";
import { digestRows } from "../http/rows.ts";
import {
  type Claim,
  claim,
  createAgent,
  fromNewAddress,
  MAILING,
  poll,
  register,
  startClaim,
} from "../support/agents.ts";
import { call, operate } from "../support/fixtures.ts";
import { createHuman, newEmail, open, PASSWORD, submit } from "../support/humans.ts";
import { startService } from "../support/service.ts";

const service = await startService(MAILING);
const { app, db } = service;

/** Counts of attempts and of calls, and when a token was used: what refusing leaves behind. */
const COUNTED = ["auth.attempts", "public.rate_windows", "public.tokens"];

/** Everything that the API has given to the agent of a claim. */
function holdings(started: Claim): string[] {
  const { agent, code, page } = started;
  return [agent.token, agent.claimToken, agent.id, page, code, `${agent.claimToken}${code}`];
}

/** What has changed but for counts. */
async function changesIn(work: () => Promise<void>): Promise<string[]> {
  const before = await digestRows(db);
  await work();
  const after = await digestRows(db);
  return Object.keys(after).filter((table) => after[table] !== before[table] && !COUNTED.includes(table));
}

test("an agent with everything that the API gave it, and a browser, cannot claim its account", async () => {
  const started = await startClaim(service, await createAgent(app));
  const held = holdings(started);
  const changed = await changesIn(async () => {
    for (const token of held) {
      const headers = { "sec-fetch-site": "same-origin", ...fromNewAddress() };
      for (const at of [`/claim?token=${token}`, `/invite?token=${token}`, `/reset/new?token=${token}`])
        expect((await open(app, at)).text, at).not.toContain('name="code"');
      const person = { name: "Not Human", email: started.email, password: PASSWORD };
      for (const secret of [token, started.page]) {
        const form = { token: secret, code: started.code, payments_write: "yes", ...person };
        expect([200, 410]).toContain((await submit(app, "/claim", form, { headers })).status);
      }
      expect((await submit(app, "/invite", { token, password: PASSWORD }, { headers })).status).toBe(410);
      expect((await submit(app, "/reset/new", { token, password: PASSWORD }, { headers })).status).toBe(410);
      const signIn = { email: started.email, password: token };
      expect((await submit(app, "/sign-in", signIn, { headers })).status).toBe(422);
    }
  });
  expect(changed).toEqual([]);
  await claim(app, started);
});

test("an agent in the browser of another signed-in person cannot, either", async () => {
  const started = await startClaim(service, await createAgent(app));
  const owner = await createHuman(
    app,
    (await operate(app, "PUT", `/accounts/x${started.agent.id}`, { name: "X" })).account.id,
  );
  const named = await startClaim(service, await createAgent(app), owner.email);
  const changed = await changesIn(async () => {
    for (const { page, code } of [started, named]) {
      const shown = await open(app, `/claim?token=${page}`, owner);
      expect(shown.text).not.toContain('name="code"');
      await submit(app, "/claim", { token: page, code, payments_write: "yes" }, owner);
    }
  });
  expect(changed).toEqual([]);
});

test("no credential of an agent opens any page or form of a person", async () => {
  const started = await startClaim(service, await createAgent(app));
  await claim(app, started);
  const { body } = await poll(app, started.agent);
  const held = [...holdings(started), body.access_token];
  const routes = listRoutes(app).filter(({ access }) => access?.by === "session");
  expect(routes.length).toBeGreaterThan(8);
  const changed = await changesIn(async () => {
    for (const { method, url } of routes) {
      const path = url.replaceAll(/:\w+/g, "01a20756-15d0-7382-baf7-0c713413241c");
      for (const secret of held) {
        const answer = await call(app, method as "POST", path, {
          headers: {
            accept: "text/html",
            "sec-fetch-site": "same-origin",
            "content-type": "application/x-www-form-urlencoded",
            cookie: `countersign=${secret}; __Host-countersign=${secret}`,
            ...fromNewAddress(),
          },
          ...(method === "POST" ? { body: new URLSearchParams({ form_token: secret }).toString() } : {}),
        });
        const toSignIn = [303, expect.stringMatching(/^\/sign-in\?/)];
        expect([answer.status, String(answer.headers.location)], `${method} ${url}`).toEqual(toSignIn);
        if (method !== "POST") continue;
        const asToken = await submit(
          app,
          path,
          { form_token: secret },
          {
            headers: {
              authorization: `Bearer ${secret}`,
              "sec-fetch-site": "same-origin",
              ...fromNewAddress(),
            },
          },
        );
        expect([asToken.status, String(asToken.headers.location)], `${method} ${url}`).toEqual(toSignIn);
      }
    }
  });
  expect(changed).toEqual([]);
});

test("what an agent says of itself is shown as its words, and does nothing", async () => {
  const agent_name = `<img src=x onerror=alert(1)> "><script>alert(1)</script>`;
  const { body } = await register(app, {
    agent_name,
    organization_name: "</dd><form action=//evil.example>",
  });
  const agent = {
    id: body.registration_id,
    accountId: "",
    token: body.access_token,
    claimToken: body.claim_token,
  };
  const started = await startClaim(service, agent);
  const { text } = await open(app, `/claim?token=${started.link}`);
  expect(text).toContain("“<bdi>&lt;img src=x onerror=alert(1)&gt; &quot;&gt;&lt;script&gt;");
  expect(text).not.toContain("<script>");
  expect(text).not.toContain("evil.example>");
});

test("nothing that an agent wrote is in a mail, whomever it has named", async () => {
  const email = newEmail();
  const words = { agent_name: "PAY at evil.example", organization_name: "Your bank, urgently" };
  await claim(app, await startClaim(service, await createAgent(app, words), email));
  const mails = await db.selectFrom("mails").where("recipient", "=", email).selectAll().execute();
  expect(mails).toHaveLength(2);
  for (const { subject, body } of mails) {
    for (const word of ["evil.example", "PAY", "urgently"]) expect(`${subject} ${body}`).not.toContain(word);
  }
});

test("neither the mail nor its page holds the code, and neither the code nor the page's address the mail's secret", async () => {
  const started = await startClaim(service, await createAgent(app));
  const { body } = await db
    .selectFrom("mails")
    .where("recipient", "=", started.email)
    .select("body")
    .executeTakeFirstOrThrow();
  expect(body).toContain(started.link);
  for (const secret of [started.code, started.page, started.agent.claimToken])
    expect(body).not.toContain(secret);
  for (const token of [started.page, started.link]) {
    const { text } = await open(app, `/claim?token=${token}`);
    for (const secret of [started.code, started.agent.claimToken, started.agent.token])
      expect(text).not.toContain(secret);
  }
  expect((await open(app, `/claim?token=${started.page}`)).text).not.toContain(started.link);
});

test("the rows hold digests of secrets, and a code's says nothing without the mailed secret", async () => {
  const { agent, code, page, link } = await startClaim(service, await createAgent(app));
  const tables = ["agent_registrations", "claim_attempts", "tokens"] as const;
  const rows = JSON.stringify(
    await Promise.all(tables.map((table) => db.selectFrom(table).selectAll().execute())),
  );
  for (const secret of [page, link, agent.claimToken, agent.token]) expect(rows).not.toContain(secret);
  const { code_digest } = await db
    .selectFrom("claim_attempts")
    .where("account_id", "=", agent.accountId)
    .select("code_digest")
    .executeTakeFirstOrThrow();
  expect(code_digest).toEqual(hash("sha256", `${link} ${code}`, "buffer"));
});
