import { chmodSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { GRANT_TYPE, letClaimAge, letPollAge, MAILING, sendForm } from "../support/agents.ts";
import { newEmail } from "../support/humans.ts";
import { startService } from "../support/service.ts";
import { agentOf, completeClaim, listen, readKept, type Started, startAlone, tokenPath } from "./programs.ts";

const service = await startService(MAILING);
const { app, db } = service;
const url = await listen(app);
const claim = (started: Started) => completeClaim(service, started);

describe("opentrain_claim_status", () => {
  const begin = async () => {
    const program = await startAlone({ url });
    await program.call("opentrain_register_agent");
    const { body } = await program.call("opentrain_claim_account", { email: newEmail() });
    return { ...program, started: body.claim as Started, agent: agentOf(program.home, url) };
  };
  const pollIntervalOf = async (accountId: string) => {
    const row = await db
      .selectFrom("agent_registrations")
      .select("poll_interval")
      .where("account_id", "=", accountId)
      .executeTakeFirstOrThrow();
    return row.poll_interval;
  };

  test("never polls faster than the service allows, however often and from however many processes it is asked", async () => {
    const { call, home, agent } = await begin();
    const other = await startAlone({ url, home });
    const answers = await Promise.all(
      [call, other.call, call, other.call].map((ask) => ask("opentrain_claim_status", { waitSeconds: 6 })),
    );
    for (const { body, isError } of answers) expect([isError, body.status]).toEqual([false, "waiting"]);
    expect(await pollIntervalOf(agent.accountId)).toBe(5);
  });

  test("slows down when it is told to, and remembers it in the next process", async () => {
    const { call, home, agent, close } = await begin();
    await sendForm(app, "token", {
      grant_type: GRANT_TYPE,
      claim_token: agent.claimToken,
    });
    expect((await call("opentrain_claim_status", { waitSeconds: 0 })).body.status).toBe("waiting");
    expect(readKept(home, url).kept.claim.interval).toBe(10);
    await close();
    const next = await startAlone({ url, home });
    expect((await next.call("opentrain_claim_status", { waitSeconds: 5 })).body.status).toBe("waiting");
    expect(await pollIntervalOf(agent.accountId)).toBe(10);
  });

  test("says the digits again, in another process too", async () => {
    const { home, started } = await begin();
    const other = await startAlone({ url, home });
    const { text, body } = await other.call("opentrain_claim_status", { waitSeconds: 0 });
    expect(body.claim).toMatchObject(started);
    expect(text).toContain(started.userCode);
  });

  test("hears that the claim has expired, and the human can be asked again", async () => {
    const { call, agent } = await begin();
    await letClaimAge(db, agent, 31);
    const expired = await call("opentrain_claim_status", { waitSeconds: 0 });
    expect([expired.body.status, expired.body.claim]).toEqual(["expired", undefined]);
    expect(expired.text).toMatch(/^EXPIRED.*call opentrain_claim_account again/s);
    await claim((await call("opentrain_claim_account", { email: newEmail() })).body.claim);
    await letPollAge(db, agent, 60);
    expect((await call("opentrain_claim_status")).text).toMatch(/^CLAIMED/);
  });

  test("takes what another process has fetched, and says it when the token went elsewhere", async () => {
    const { call, home, started, agent } = await begin();
    await claim(started);
    const other = await startAlone({ url, home });
    expect((await other.call("opentrain_claim_status")).body.status).toBe("claimed");
    expect((await call("opentrain_claim_status")).body.status).toBe("claimed");
    expect((await call("opentrain_claim_account", { email: newEmail() })).body.status).toBe("claimed");

    const lost = await begin();
    await claim(lost.started);
    await sendForm(app, "token", {
      grant_type: GRANT_TYPE,
      claim_token: lost.agent.claimToken,
    });
    await letPollAge(db, lost.agent, 60);
    const { text, isError } = await lost.call("opentrain_claim_status", { waitSeconds: 0 });
    expect([isError, text]).toEqual([
      true,
      expect.stringMatching(
        /^REFUSED \(invalid_grant\): .*given already.*settings\/keys.*COUNTERSIGN_TOKEN/s,
      ),
    ]);
    expect(agent.claimToken).not.toBe(lost.agent.claimToken);
  });

  test("polls for nothing when the token could not be kept, as it is given once", async () => {
    const { call, home, started, agent } = await begin();
    await claim(started);
    chmodSync(tokenPath(home, url), 0o644);
    expect((await call("opentrain_claim_status")).text).toMatch(/^TOKEN NOT USABLE: .*chmod 600/);
    const row = await db
      .selectFrom("agent_registrations")
      .select("delivered_at")
      .where("account_id", "=", agent.accountId)
      .executeTakeFirstOrThrow();
    expect(row.delivered_at).toBeNull();
    chmodSync(tokenPath(home, url), 0o600);
    expect((await call("opentrain_claim_status")).body.status).toBe("claimed");
  });
});
