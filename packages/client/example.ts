import { createClient } from "./index.ts";

const [origin = "", token = "", milestoneId = ""] = process.argv.slice(2);
const api = createClient({ origin, token });

// Ask. It moves no money, and asking again answers the same approval.
const { data, error } = await api.POST("/milestones/{milestoneId}/fund", {
  params: { path: { milestoneId } },
});
if (error?.code === "CONFLICT" && error.details.reason === "payment_method_required")
  throw new Error(`Your human must add a card first: ${error.details.billingUrl}`);
if (error?.code === "FORBIDDEN" && "claimUrl" in error.details)
  throw new Error(`Your human must claim the account first: ${error.details.claimUrl}`);
if (error) throw new Error(`${error.error} (request ${error.requestId})`);
console.log(`Your human decides at ${data.approval.approvalUrl}`);

// Follow the feed. Each request is held until there is something new, or for 30 seconds.
const query: { wait: number; cursor?: string } = { wait: 30 };
let status: string | undefined;
while (status === undefined) {
  const { data: page, error } = await api.GET("/updates", { params: { query } });
  if (error) throw new Error(`${error.error} (request ${error.requestId})`);
  for (const event of page.events)
    if (event.type === "approval.confirmed" && event.data.approvalId === data.approval.id)
      status = event.data.status;
  query.cursor = page.nextCursor;
}
console.log(`They have: it is ${status}`);
