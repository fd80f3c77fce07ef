import type { Db } from "../../src/database/connection.ts";

/** What is left out unless it is asked for: who signs in and proves themselves does so in every test. */
const SIGN_IN = ["signed_in", "signed_out", "sign_in_refused", "presence_proved", "presence_refused"];

/** The audit entries of which a person is the actor or the subject, oldest first; those of sign-in only if named. */
export async function auditOf(
  db: Db,
  email: string,
  actions?: readonly string[],
): Promise<Awaited<ReturnType<typeof entries>>> {
  const found = await entries(db, email);
  return found.filter(({ action }) =>
    actions === undefined ? !SIGN_IN.includes(action) : actions.includes(action),
  );
}

function entries(db: Db, email: string) {
  return db
    .selectFrom("audit_entries as a")
    .innerJoin("auth.users as u", (join) =>
      join.on((on) =>
        on.or([on("a.actor_id", "=", on.ref("u.id")), on("a.subject_id", "=", on.ref("u.id"))]),
      ),
    )
    .where("u.email", "=", email)
    .select(["a.action", "a.subject_id as subjectId", "a.before", "a.after", "a.detail", "a.address"])
    .orderBy("a.at")
    .orderBy("a.id")
    .execute();
}
