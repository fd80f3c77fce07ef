import { sql } from "kysely";
import { inTransaction } from "../../src/database/transaction.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { listOwnPasskeys } from "../../src/passkeys/store.ts";
import { markPasswordUnverified } from "../../src/sign-in/person-store.ts";
import { letProofAge } from "./approval-scene.ts";
import type { Site } from "./browser.ts";
import { createFixture, operate } from "./fixtures.ts";
import { cookieOf, createHuman, type HumanFixture } from "./humans.ts";
import type { PageState } from "./page-states.ts";
import { givePasskey, signInByPasskey, userIdOf } from "./passkeys.ts";

const SECURITY = "/settings/security";

/** The pages about passkeys: one's own, and those of others that wait. */
export async function passkeyStates(site: Site): Promise<PageState[]> {
  const { app, db, origin } = site;
  const begin = async () => {
    const fixture = await createFixture(app);
    const human = await createHuman(app, fixture.account);
    return { ...fixture, ...human, userId: await userIdOf(db, human.email) };
  };
  const give = async ({ userId }: { userId: string }) => {
    const { credentialId } = await givePasskey(db, userId, { origin });
    const row = db.selectFrom("auth.passkeys").where("credential_id", "=", credentialId).select("id");
    return (await row.executeTakeFirstOrThrow()).id;
  };
  const wait = (id: string, opensIn: string | null) =>
    sql`update auth.passkeys set active_from = now() + ${opensIn}::interval where id = ${id}`.execute(db);
  const comeByLink = ({ userId }: { userId: string }) =>
    inTransaction(db, (trx) => markPasswordUnverified(trx, userId, new Date()));

  const none = await begin();
  const aged = await begin();
  await give(aged);
  await letProofAge(site, aged);
  const linked = await begin();
  await comeByLink(linked);
  const waiting = await begin();
  await comeByLink(waiting);
  const id = await give(waiting);
  await wait(id, null);
  const demanding = await begin();
  const only = await give(demanding);
  await operate(app, "PUT", `/accounts/${demanding.account}`, { coSign: "passkey" });

  const signer = await begin();
  const held = await givePasskey(db, signer.userId, { origin });
  await operate(app, "PUT", `/accounts/${signer.account}`, { coSign: "passkey" });
  const signing = cookieOf(await signInByPasskey(app, held, signer.userId));
  await sql`update auth.passkeys set possible_copy_at = now() where user_id = ${signer.userId}`.execute(db);
  const copied = await listOwnPasskeys(db, signer.userId);

  const ownerOf = async (fixture: Awaited<ReturnType<typeof begin>>): Promise<HumanFixture> => {
    const elsewhere = await begin();
    await sql`insert into members (account_id, id, email, name, role, status, user_id, created_at, updated_at)
      values (${accountKey(fixture.account)}, gen_random_uuid(), ${elsewhere.email}, 'Bob Owner', 'owner', 'active',
        ${elsewhere.userId}, now(), now())`.execute(db);
    return elsewhere;
  };
  const byPassword = await ownerOf(waiting);
  const opened = await begin();
  await wait(await give(opened), "24 hours");
  const byPasskey = await ownerOf(opened);
  await give({ userId: await userIdOf(db, byPasskey.email) });

  return [
    { name: "passkey-new", path: `${SECURITY}/passkeys/new`, cookie: none.cookie },
    {
      name: "passkey-new-password",
      path: `${SECURITY}/passkeys/new?return_to=/billing`,
      cookie: aged.cookie,
    },
    { name: "passkey-new-signs", path: `${SECURITY}/passkeys/new`, cookie: signing },
    { name: "passkey-possible-copy", path: `${SECURITY}/passkeys/${copied[0]?.id}`, cookie: signing },
    { name: "members-signs", path: "/settings/members", cookie: signing },
    { name: "member-signs", path: `/settings/members/${signer.memberId}`, cookie: signing },
    { name: "passkey-new-linked", path: `${SECURITY}/passkeys/new`, cookie: linked.cookie },
    { name: "passkey-new-waits", path: `${SECURITY}/passkeys/new`, cookie: waiting.cookie },
    { name: "passkey-only", path: `${SECURITY}/passkeys/${only}`, cookie: demanding.cookie },
    { name: "passkey-password", path: `${SECURITY}/passkeys/${id}`, cookie: waiting.cookie },
    { name: "security-passkeys", path: SECURITY, cookie: waiting.cookie },
    { name: "security-consent-password", path: SECURITY, cookie: byPassword.cookie },
    { name: "security-consent-passkey", path: SECURITY, cookie: byPasskey.cookie },
  ];
}
