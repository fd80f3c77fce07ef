import type { Config } from "../config/config.ts";
import type { Demo } from "./demo.ts";

/** Tells the person who has just started the demo what to do next. */
export function welcome({ publicUrl, dataDir, operatorApiKeys }: Config, demo: Demo): void {
  const { token, milestoneId, email, password } = demo;
  console.log(`
Countersign is running at ${publicUrl} — a demo: no real money, data in ${dataDir}

  1. Be the agent. Paste this: it asks for a milestone to be funded, and is answered 202.

curl -X POST ${publicUrl}/milestones/${milestoneId}/fund -H "Authorization: Bearer ${token}"

  2. Be the human. Open the approvalUrl of the answer in a browser, and sign in at ${publicUrl}/sign-in

     E-mail:   ${email}
     Password: ${password}

  3. Read on: ${publicUrl}/docs describes every call, ${publicUrl}/demo/mailbox shows what would be mailed.

  Operator's key, for ${publicUrl}/api/operator/v1: ${operatorApiKeys[0]}
  The token, the password and a key that was not set are new at each start. Stop with Ctrl-C.
`);
}
