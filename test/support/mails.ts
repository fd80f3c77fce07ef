import type { Db } from "../../src/database/connection.ts";

/** The mails to an address, oldest first. */
export function mailsTo(db: Db, email: string): Promise<{ subject: string; body: string | null }[]> {
  return db
    .selectFrom("mails")
    .where("recipient", "=", email)
    .orderBy("created_at")
    .orderBy("id")
    .select(["subject", "body"])
    .execute();
}

/** The subjects of it. */
export async function subjectsTo(db: Db, email: string): Promise<string[]> {
  return (await mailsTo(db, email)).map(({ subject }) => subject);
}
