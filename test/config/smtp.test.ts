import { expect, test } from "vitest";
import { loadConfig } from "../../src/config/config.ts";
import { serviceEnvironment } from "../support/service.ts";

const load = (env: Record<string, string>) =>
  loadConfig({ ...serviceEnvironment("postgres://db.example.com/pay"), ...env });

test.for([
  ["smtp://mail.example.com:587", undefined, true],
  ["smtps://mail.example.com", undefined, true],
  ["smtp://10.0.0.7", undefined, true],
  ["smtp://localhost.example.com", undefined, true],
  ["smtp://localhost:1025", undefined, false],
  ["smtp://127.0.0.1:1025", undefined, false],
  ["smtp://[::1]:1025", undefined, false],
  ["smtp://mailpit:1025", "mailpit", false],
  ["smtp://Mailpit:1025", "MAILPIT", false],
] as const)("mail to %s, with %s named as plain, requires TLS: %s", ([url, named, required]) => {
  const env = { SMTP_URL: url, ...(named === undefined ? {} : { SMTP_PLAINTEXT_HOST: named }) };
  expect(load(env).smtpRequireTls).toBe(required);
});

test("a host that is named as plain must be the one that mail goes to", () => {
  const fault = /^SMTP_PLAINTEXT_HOST must be the host of SMTP_URL/;
  expect(() => load({ SMTP_URL: "smtp://mail.example.com", SMTP_PLAINTEXT_HOST: "example.com" })).toThrow(
    fault,
  );
  expect(() => load({ SMTP_PLAINTEXT_HOST: "mailpit" })).toThrow(fault);
});
