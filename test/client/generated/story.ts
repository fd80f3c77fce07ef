/**
 * What an agent does, over a client that a generator made: it registers itself, learns what it lacks, and, with a token
 * of a claimed account, asks for a milestone, hands the link to its human and polls. Prints one line of JSON for each
 * approval that its human has to decide, and one at its end.
 *
 * `clients.ts` adapts each client. The types here are what a developer expects of them: the compiler compares.
 */

export type Approval = {
  id: string;
  status: "pending" | "confirmed" | "declined" | "expired";
  approvalUrl: string;
};
type StatusChanged = {
  type: "milestone.status_changed";
  data: { milestoneId: string; status: string };
};
type OtherEvent = { type: string; data: object };

/** A generated client that sends one token. */
export type Agent = {
  me(): Promise<{ account: { claimed: boolean }; token: { scopes: string[] } }>;
  milestones(): Promise<{ id: string; status: string }[]>;
  fund(milestoneId: string): Promise<{ approval: Approval; message: string }>;
  approval(approvalId: string): Promise<{ approval: Approval }>;
  topUp(key: string, amountUsd: number): Promise<{ topUpId: string; checkoutUrl: string }>;
  updates(
    cursor: string,
    limit: number,
  ): Promise<{ events: (StatusChanged | OtherEvent)[]; nextCursor: string; hasMore: boolean }>;
};
export type Generated = {
  register(name: string): Promise<{ access_token: string; claim_token: string; scopes: string[] }>;
  /** Absent where the generator cannot send a form. */
  poll?(grantType: string, claimToken: string): Promise<unknown>;
  /** The body of a refusal: some clients throw it, some return it. */
  refusal(call: Promise<unknown>): Promise<{ code?: string; error: string; details?: unknown }>;
  as(token: string): Agent;
};

declare const process: { argv: string[] };

function check(condition: boolean, expected: string, given?: unknown): asserts condition {
  if (!condition) throw new Error(`expected ${expected}, got ${JSON.stringify(given)}`);
}

/** Tells the story. @throws if the service answers otherwise than it says */
export async function tellStory({ register, poll, refusal, as }: Generated): Promise<void> {
  const [token = ""] = process.argv.slice(2);

  const registered = await register("Generated");
  const newcomer = as(registered.access_token);
  const me = await newcomer.me();
  check(me.account.claimed === false, "an account that nobody claimed", me);
  check(me.token.scopes.join() === registered.scopes.join(), "the scopes that it got", me);
  const unclaimed = await refusal(newcomer.fund("milestone-1"));
  check(unclaimed.code === "FORBIDDEN", "that a claim is required", unclaimed);
  if (poll !== undefined) {
    const pending = await refusal(poll("urn:opentrain:agent-auth:grant-type:claim", registered.claim_token));
    check(pending.error === "authorization_pending", "to poll on", pending);
  }

  const agent = as(token);
  const unfunded = (await agent.milestones()).find(({ status }) => status === "NOT_FUNDED");
  check(unfunded !== undefined, "a milestone to fund");
  const { id } = unfunded;
  const { approval } = await agent.fund(id);
  const again = await agent.fund(id);
  check(JSON.stringify(again.approval) === JSON.stringify(approval), "the same approval", again);
  console.log(JSON.stringify({ approvalId: approval.id, approvalUrl: approval.approvalUrl }));
  let status = approval.status;
  while (status === "pending") {
    await new Promise((resolve) => setTimeout(resolve, 100));
    ({ status } = (await agent.approval(approval.id)).approval);
  }
  check(status === "confirmed", "a confirmation", status);
  const funded = await refusal(agent.fund(id));
  check(funded.code === "CONFLICT", "that it is funded", funded);
  check(JSON.stringify(funded.details).includes("milestone_not_fundable"), "the reason", funded);

  const topUp = await agent.topUp("generated-1", 25);
  const repeated = await agent.topUp("generated-1", 25);
  check(repeated.topUpId === topUp.topUpId, "one top-up for one key", [topUp, repeated]);

  const seen: string[] = [];
  let page = await agent.updates("0", 2);
  for (;;) {
    for (const event of page.events)
      if (isStatusChange(event) && event.data.milestoneId === id) seen.push(event.data.status);
    if (!page.hasMore) break;
    page = await agent.updates(page.nextCursor, 2);
  }
  check(seen.join() === "NOT_FUNDED,ACTIVE_FUNDED", "both states in the feed", seen);
  const missing = await refusal(agent.approval("none"));
  check(missing.code === "NOT_FOUND", "no such approval", missing);
  console.log(JSON.stringify({ done: true }));
}

function isStatusChange(event: StatusChanged | OtherEvent): event is StatusChanged {
  return event.type === "milestone.status_changed";
}
