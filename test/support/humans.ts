import { expect } from "vitest";
import type { MemberRole } from "../../src/database/schema.ts";
import type { App } from "../../src/http/app.ts";
import { type Answer, call, operate } from "./fixtures.ts";
import { PASSWORD, SAME_ORIGIN } from "./visitor.ts";

export { PASSWORD, SAME_ORIGIN } from "./visitor.ts";

type FormOptions = { cookie?: string | undefined; headers?: Record<string, string> };

/** Opens a page as a browser does. */
export function open(app: App, url: string, { cookie, headers }: FormOptions = {}): Promise<Answer> {
  return call(app, "GET", url, {
    headers: { accept: "text/html", ...(cookie === undefined ? {} : { cookie }), ...headers },
  });
}

/** Sends a form as a browser does from a page of the same origin; `headers` replace what it says of that. */
export function submit(
  app: App,
  url: string,
  fields: Record<string, string> | [string, string][],
  { cookie, headers = SAME_ORIGIN }: FormOptions = {},
): Promise<Answer> {
  return call(app, "POST", url, {
    body: new URLSearchParams(fields).toString(),
    headers: {
      accept: "text/html",
      "content-type": "application/x-www-form-urlencoded",
      ...(cookie === undefined ? {} : { cookie }),
      ...headers,
    },
  });
}

/** The `Set-Cookie` lines of an answer. */
export function setCookies(answer: Answer): string[] {
  return [answer.headers["set-cookie"] ?? []].flat() as string[];
}

/** What the browser sends back from now on. */
export function cookieOf(answer: Answer): string {
  const [first] = setCookies(answer);
  expect(first, answer.text).toBeDefined();
  return first?.split(";", 1)[0] ?? "";
}

/** The value of a hidden field of a page's form, `form_token` if no other is named. */
export function hiddenValue(page: Answer, form: string, name = "form_token"): string {
  const start = page.text.indexOf(`action="${form}"`);
  const part = start < 0 ? "" : page.text.slice(start, page.text.indexOf("</form>", start));
  const value = new RegExp(`name="${name}" value="([^"]*)"`).exec(part)?.[1];
  expect(value, `${name} in the form ${form} of ${page.text}`).toBeDefined();
  return value ?? "";
}

export type HumanFixture = { email: string; name: string; cookie: string; memberId: string };

let people = 0;

/** An e-mail that no other test uses. */
export function newEmail(): string {
  people += 1;
  return `person-${process.pid}-${people}-${Math.random().toString(36).slice(2)}@example.com`;
}

/** Invites a person by the operator's API. */
export async function invite(
  app: App,
  account: string,
  role: MemberRole,
  email = newEmail(),
): Promise<{ email: string; token: string; memberId: string }> {
  const { member, inviteUrl } = await operate(app, "POST", `/accounts/${account}/members`, {
    email,
    name: "Ada Owner",
    role,
  });
  return { email, memberId: member.id, token: new URL(inviteUrl).searchParams.get("token") ?? "" };
}

/** A person who has accepted an invitation and is signed in. The first owner of an account needs no consent. */
export async function createHuman(
  app: App,
  account: string,
  role: MemberRole = "owner",
): Promise<HumanFixture> {
  const { email, token, memberId } = await invite(app, account, role);
  const answer = await submit(app, "/invite", { token, password: PASSWORD });
  expect(answer.status, answer.text).toBe(303);
  return { email, name: "Ada Owner", cookie: cookieOf(answer), memberId };
}

/** Signs in with the form. */
export function signIn(app: App, email: string, password = PASSWORD, options?: FormOptions): Promise<Answer> {
  return submit(app, "/sign-in", { email, password }, options);
}
