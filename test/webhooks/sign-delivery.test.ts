import { Webhook } from "standardwebhooks";
import { describe, expect, test } from "vitest";
import { newWebhookSecret, signatureHeaders } from "../../src/webhooks/signature.ts";

// The vector that docs/webhooks.md gives. Made with Python's hmac, not with this code.
const SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const MESSAGE = {
  id: "01999999-0000-7000-8000-000000000001",
  eventType: "approval.confirmed",
  timestamp: new Date("2026-11-23T09:30:00.999Z"),
  body: '{"id":"7","type":"approval.confirmed","apiVersion":"v1","createdAt":"2026-11-23T09:30:00.000Z","resourceId":"apr_1","jobId":null,"data":{"approvalId":"apr_1","status":"confirmed"}}',
};
const OPENTRAIN = "7d6de12e25b5aa82e1c6533c4359e25905e3242b685a8788d38334978ce584b9";
const STANDARD = "zLIdm+9xEHaNbj82o/Ejb8fwG+HPwB/zAXa0yawW1Jk=";

/** What a receiver with the package of Standard Webhooks does; it refuses a timestamp of another day. */
function verify(secret: string, body = MESSAGE.body): unknown {
  const message = { ...MESSAGE, timestamp: new Date() };
  return new Webhook(secret).verify(body, signatureHeaders([secret], message));
}

describe("a delivery's headers", () => {
  test("carry both families of signatures, as the test vectors have them", () => {
    expect(signatureHeaders([SECRET], MESSAGE)).toEqual({
      "X-OpenTrain-Event": "approval.confirmed",
      "X-OpenTrain-Delivery": MESSAGE.id,
      "X-OpenTrain-Signature": `t=1795426200,v1=${OPENTRAIN}`,
      "webhook-id": MESSAGE.id,
      "webhook-timestamp": "1795426200",
      "webhook-signature": `v1,${STANDARD}`,
    });
  });

  test("carry one signature of each family for each secret while a rotation lasts", () => {
    const other = newWebhookSecret();
    const alone = signatureHeaders([other], MESSAGE);
    const both = signatureHeaders([other, SECRET], MESSAGE);
    expect(both["X-OpenTrain-Signature"]).toBe(`${alone["X-OpenTrain-Signature"]},v1=${OPENTRAIN}`);
    expect(both["webhook-signature"]).toBe(`${alone["webhook-signature"]} v1,${STANDARD}`);
  });

  test("are accepted by the package of Standard Webhooks, with either secret of a rotation and no other", () => {
    const [first, second, stranger] = [newWebhookSecret(), newWebhookSecret(), newWebhookSecret()];
    const headers = signatureHeaders([first, second], { ...MESSAGE, timestamp: new Date() });
    expect(new Webhook(first).verify(MESSAGE.body, headers)).toMatchObject({ id: "7" });
    expect(new Webhook(second).verify(MESSAGE.body, headers)).toMatchObject({ id: "7" });
    expect(() => new Webhook(stranger).verify(MESSAGE.body, headers)).toThrow();
  });

  test("do not fit another body", () => {
    expect(verify(SECRET)).toMatchObject({ type: "approval.confirmed" });
    const headers = signatureHeaders([SECRET], { ...MESSAGE, timestamp: new Date() });
    const changed = MESSAGE.body.replace("confirmed", "declined");
    expect(() => new Webhook(SECRET).verify(changed, headers)).toThrow();
  });

  test("sign the bytes of the body, whatever letters are in it", () => {
    const body = '{"name":"Zoë 🖋"}';
    const secret = newWebhookSecret();
    const headers = signatureHeaders([secret], { ...MESSAGE, body, timestamp: new Date() });
    expect(new Webhook(secret).verify(Buffer.from(body), headers)).toEqual(JSON.parse(body));
  });
});

test("a new secret is whsec_ and 32 random bytes in base64, never the same twice", () => {
  const secrets = Array.from({ length: 50 }, newWebhookSecret);
  for (const secret of secrets) expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
  expect(new Set(secrets).size).toBe(50);
});
