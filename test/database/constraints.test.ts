import { type RawBuilder, sql } from "kysely";
import { afterAll, describe, expect, test } from "vitest";
import { readClock } from "../../src/database/clock.ts";
import { connect } from "../../src/database/connection.ts";
import { newId } from "../../src/lib/ids.ts";
import { addSeconds } from "../../src/lib/time.ts";
import { createWorld, insertExpired, type World } from "../concurrency/world.ts";
import { asOwner, cloneDatabase } from "../support/clones.ts";

const RESTRICT_VIOLATION = "23001";
const FOREIGN_KEY_VIOLATION = "23503";
const UNIQUE_VIOLATION = "23505";
const CHECK_VIOLATION = "23514";

// As the owner: what the rights of the running role keep away already is refused to the owner too.
const { db, close } = connect(asOwner(await cloneDatabase()), {
  size: 5,
  statementTimeout: 5_000,
  lockTimeout: 3_000,
  onIdleError: () => {},
});
afterAll(close);

describe("the schema refuses", () => {
  /** A world with one approval that has expired unnoticed, so that it can be decided. */
  async function withApproval(): Promise<{
    world: World;
    approval: string;
    milestone: string;
    contract: string;
  }> {
    const world = await createWorld(db, { milestones: 1 });
    const [approval] = await insertExpired(db, world);
    const [milestone] = world.milestones;
    if (approval === undefined || milestone === undefined) throw new TypeError("there is one");
    return { world, approval, milestone: milestone.id, contract: milestone.contract };
  }

  function decide(accountId: string, approval: string) {
    return sql`update approvals set status = 'declined', resolved_at = expires_at
      where account_id = ${accountId} and id = ${approval}`.execute(db);
  }

  async function state(work: Promise<unknown>): Promise<unknown> {
    return await work.then(
      () => "accepted",
      (error: { code?: string }) => error.code,
    );
  }

  test("a second pending approval for one account, type and subject; and takes one again when it is decided", async () => {
    const { world, approval } = await withApproval();
    expect(await state(insertExpired(db, world))).toBe(UNIQUE_VIOLATION);
    await decide(world.accountId, approval);
    expect(await state(insertExpired(db, world))).toBe("accepted");
  });

  test("a second action that executes on one milestone, whatever approval it is of", async () => {
    const { world, approval, milestone } = await withApproval();
    const other = await createWorld(db, { milestones: 1 });
    const execute = (accountId: string, approvalId: string) =>
      sql`
      insert into executing_milestones values (${accountId}, ${milestone}, ${approvalId}, ${new Date()})`.execute(
        db,
      );
    expect(await state(execute(world.accountId, approval))).toBe("accepted");
    expect(await state(execute(world.accountId, approval))).toBe(UNIQUE_VIOLATION);
    await decide(world.accountId, approval);
    const [next = ""] = await insertExpired(db, world);
    expect(await state(execute(world.accountId, next))).toBe(UNIQUE_VIOLATION);
    expect(await state(execute(other.accountId, approval))).toBe(FOREIGN_KEY_VIOLATION);
  });

  test("any change of a decided approval, and its removal", async () => {
    const { world, approval } = await withApproval();
    await decide(world.accountId, approval);
    const where = sql`where account_id = ${world.accountId} and id = ${approval}`;
    for (const change of [
      sql`update approvals set status = 'pending', resolved_at = null ${where}`,
      sql`update approvals set status = 'confirmed', result = '{}' ${where}`,
      sql`update approvals set resolved_at = created_at ${where}`,
      sql`update approvals set token_name = 'Another' ${where}`,
      sql`delete from approvals ${where}`,
    ]) {
      expect(await state(change.execute(db))).toBe(RESTRICT_VIOLATION);
    }
  });

  test("any change of what a pending approval asks for", async () => {
    const { world, approval } = await withApproval();
    for (const change of [
      sql`terms = '{"amountCents": 1}'`,
      sql`terms_digest = decode(repeat('ab', 32), 'hex')`,
      sql`type = 'milestone_approve'`,
      sql`job_id = 'another'`,
      sql`co_sign = 'passkey'`,
      sql`token_id = gen_random_uuid()`,
      sql`created_at = created_at - interval '1 second'`,
      sql`expires_at = expires_at + interval '1 hour'`,
    ]) {
      const update = sql`update approvals set ${change} where account_id = ${world.accountId} and id = ${approval}`;
      expect(await state(update.execute(db))).toBe(RESTRICT_VIOLATION);
    }
  });

  test("an approval whose status, time and result do not fit each other", async () => {
    const { world, approval } = await withApproval();
    for (const change of [
      sql`status = 'declined'`,
      sql`resolved_at = expires_at`,
      sql`status = 'confirmed', resolved_at = expires_at`,
      sql`status = 'declined', resolved_at = expires_at, result = '{}'`,
      sql`result = '{}'`,
      sql`status = 'expired', resolved_at = expires_at, executing_at = created_at`,
    ]) {
      const update = sql`update approvals set ${change} where account_id = ${world.accountId} and id = ${approval}`;
      expect(await state(update.execute(db))).toBe(CHECK_VIOLATION);
    }
  });

  test("any change of a signature, and its removal", async () => {
    const { world, approval } = await withApproval();
    await sql`insert into signatures values (${world.accountId}, ${approval}, decode(repeat('00', 32), 'hex'),
      'user-1', 'confirm', '{}', '{}', ${await readClock(db)})`.execute(db);
    const where = sql`where account_id = ${world.accountId} and approval_id = ${approval}`;
    expect(await state(sql`update signatures set decision = 'decline' ${where}`.execute(db))).toBe(
      RESTRICT_VIOLATION,
    );
    expect(await state(sql`delete from signatures ${where}`.execute(db))).toBe(RESTRICT_VIOLATION);
  });

  test("any change of an event, and a second one of its number", async () => {
    const { accountId } = await createWorld(db, { milestones: 1 });
    const insert = sql`insert into events values (${accountId}, 1, 'message.received', 'm', null, '{}', now())`;
    expect(await state(insert.execute(db))).toBe("accepted");
    expect(await state(insert.execute(db))).toBe(UNIQUE_VIOLATION);
    const update = sql`update events set data = '{"x": 1}' where account_id = ${accountId}`;
    expect(await state(update.execute(db))).toBe(RESTRICT_VIOLATION);
  });

  test("a second of a number in the operator's feed, any change of an event there, and a second head", async () => {
    const insert = sql`insert into operator_events values (1, 'acct-1', 'message.received', 'm', null, '{}', now())`;
    expect(await state(insert.execute(db))).toBe("accepted");
    expect(await state(insert.execute(db))).toBe(UNIQUE_VIOLATION);
    expect(await state(sql`update operator_events set account = 'acct-2'`.execute(db))).toBe(
      RESTRICT_VIOLATION,
    );
    expect(await state(sql`insert into operator_head default values`.execute(db))).toBe(UNIQUE_VIOLATION);
    expect(await state(sql`insert into operator_head (id) values (false)`.execute(db))).toBe(CHECK_VIOLATION);
  });

  test("an event that waits for the operator's feed twice, that is not there, and its removal", async () => {
    const { accountId } = await createWorld(db, { milestones: 1 });
    const wait = sql`insert into operator_outbox (account_id, number) values (${accountId}, 1)`;
    expect(await state(wait.execute(db))).toBe(FOREIGN_KEY_VIOLATION);
    await sql`insert into events values (${accountId}, 1, 'message.received', 'm', null, '{}', now())`.execute(
      db,
    );
    expect(await state(wait.execute(db))).toBe("accepted");
    expect(await state(wait.execute(db))).toBe(UNIQUE_VIOLATION);
    const remove = sql`delete from events where account_id = ${accountId}`;
    expect(await state(remove.execute(db))).toBe(FOREIGN_KEY_VIOLATION);
  });

  test("whatever belongs to one account and points into another", async () => {
    const { world, approval, milestone, contract } = await withApproval();
    const foreign = await createWorld(db, { milestones: 1 });
    const at = await readClock(db);
    const digest = Buffer.alloc(32);
    const member = newId();
    await sql`insert into members (account_id, id, email, name, role, status, created_at, updated_at)
      values (${world.accountId}, ${member}, 'a@example.com', 'A', 'owner', 'invited', ${at}, ${at})`.execute(
      db,
    );
    // Each points at something of `world`, for whichever account it is made.
    const inserts: ((account: string) => RawBuilder<unknown>)[] = [
      (account) => sql`
        insert into milestones (account_id, id, contract_id, number, description, amount_cents, created_at, updated_at)
        values (${account}, ${newId()}, ${contract}, 2, 'More', 5000, ${at}, ${at})`,
      (account) => sql`
        insert into approvals (account_id, id, type, contract_id, milestone_id, job_id, terms, terms_digest, co_sign,
          token_id, token_name, token_preview, root_token_id, created_at, expires_at)
        select ${account}, ${newId()}, 'milestone_approve', contract_id, milestone_id, job_id, terms, terms_digest,
          co_sign, token_id, token_name, token_preview, root_token_id, created_at, expires_at
        from approvals where account_id = ${world.accountId} and id = ${approval}`,
      (account) => sql`
        insert into approvals (account_id, id, type, contract_id, job_id, terms, terms_digest, co_sign, token_id,
          token_name, token_preview, root_token_id, created_at, expires_at)
        select ${account}, ${newId()}, 'contract_end', contract_id, job_id, terms, terms_digest, co_sign, token_id,
          token_name, token_preview, root_token_id, created_at, expires_at
        from approvals where account_id = ${world.accountId} and id = ${approval}`,
      (account) =>
        sql`insert into executing_milestones values (${account}, ${milestone}, ${approval}, ${at})`,
      (account) => sql`
        insert into signatures values (${account}, ${approval}, ${digest}, 'user-1', 'confirm', '{}', '{}', ${at})`,
      (account) => sql`
        insert into invitations values (${account}, ${newId()}, ${member}, ${digest}, ${at}, ${addSeconds(at, 1)})`,
      (account) => sql`
        insert into tokens (account_id, id, name, digest, preview, scopes, minted_by, created_at)
        values (${account}, ${newId()}, 'Minted', ${digest}, 'ot_pat', '{}', ${world.tokenId}, ${at})`,
    ];
    for (const insert of inserts) {
      expect(await state(insert(foreign.accountId).execute(db))).toBe(FOREIGN_KEY_VIOLATION);
      expect(await state(insert(world.accountId).execute(db))).toBe("accepted");
    }
  });
});
