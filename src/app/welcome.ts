import type { Config } from "../config/config.ts";
import type { Demo } from "./demo.ts";

/** Tells the person who has just started the demo what to do next. */
export function welcome({ publicUrl, dataDir, operatorApiKeys }: Config, demo: Demo): void {
  const { token, milestoneId, email, password } = demo;
  console.log(`
Countersign is running at ${publicUrl} — a demo: no real money, data in ${dataDir}

  1. Be the agent. Paste this. It requests a milestone's funding; the answer is 202.

curl -X POST ${publicUrl}/milestones/${milestoneId}/fund -H "Authorization: Bearer ${token}"

  2. Be the human. Open the answer's approvalUrl in a browser, or sign in at ${publicUrl}/sign-in

     Email:    ${email}
     Password: ${password}

  3. Look around. ${publicUrl}/docs describes every call; ${publicUrl}/demo/mailbox shows the mail.

  Operator key for ${publicUrl}/api/operator/v1: ${operatorApiKeys[0]}
  The token, the password and the operator key (unless you set it) are new at each start. Stop with Ctrl-C.
`);
}
