import { expect, test } from "vitest";
import { extendOperatorFeed } from "../../src/events/operator-service.ts";
import { connectTo } from "../mcp/clients.ts";
import { call } from "../support/fixtures.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";
import {
  createSubscriber,
  deliverAll,
  openDispatcher,
  startReceiver,
  subscribe,
  TO_LOOPBACK,
} from "../support/webhooks.ts";

const { app, db, config } = await startService(TO_LOOPBACK);
const dispatcher = openDispatcher({ db, config });

const DATA =
  '{"id":12345678901234567890,"huge":1e400,"tiny":1e-400,"price":1.10,"one":1.0,"hundred":1e2,"zero":-0,' +
  '"deep":[{"n":9007199254740993},0.1,"1e2"],"zebra":1,"apple":123456789.12345678}';

test("numbers of an operator's event reach everyone as they were written", async () => {
  const receiver = await startReceiver();
  const fixture = await createSubscriber(app);
  await subscribe(app, fixture.token, receiver.url());
  const path = `/api/operator/v1/accounts/${fixture.account}/events`;
  const body = `{"type":"message.received","resourceId":"message-1","data":${DATA}}`;
  const posted = await call(app, "POST", path, { token: OPERATOR_KEY, body });
  expect(posted.status, posted.text).toBe(201);
  await deliverAll(db, dispatcher);
  await extendOperatorFeed(db);
  const mcp = await connectTo(app, { token: fixture.token });
  const polled = await mcp.callTool({ name: "opentrain_poll_updates", arguments: {} });
  const texts = {
    posted: posted.text,
    updates: (await call(app, "GET", "/updates", { token: fixture.token })).text,
    "operator's page": (await call(app, "GET", path, { token: OPERATOR_KEY })).text,
    "operator's feed": (await call(app, "GET", "/api/operator/v1/updates", { token: OPERATOR_KEY })).text,
    webhook: receiver.received.map((request) => request.body).join(),
    mcp: JSON.stringify(polled.content).replaceAll('\\"', '"'),
  };
  for (const [where, text] of Object.entries(texts)) expect(text, where).toContain(`"data":${DATA}`);
});
