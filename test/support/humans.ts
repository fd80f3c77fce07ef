import { expect } from "vitest";
import type { MemberRole } from "../../src/database/schema.ts";
import type { App } from "../../src/http/app.ts";
import { type Answer, call, operate } from "./fixtures.ts";
import { PASSWORD, SAME_ORIGIN } from "./visitor.ts";

export { PASSWORD, SAME_ORIGIN } from "./visitor.ts";

/** `copied`: the cookie is sent as it is, by a person with a copy of it, not by the browser that it came from. */
type FormOptions = {
  cookie?: string | undefined;
  headers?: Record<string, string>;
  copied?: boolean;
};

/** What each browser holds by now in place of a cookie that was renewed, as browsers do. */
const renewed = new Map<string, string>();

/** The cookie that the browser of this one holds now. */
export function cookieNow(cookie: string): string {
  const next = renewed.get(cookie);
  return next === undefined ? cookie : cookieNow(next);
}

async function keepCookie(cookie: string | undefined, answering: Promise<Answer>): Promise<Answer> {
  const answer = await answering;
  const value = setCookies(answer).find(isSession)?.split(";", 1)[0] ?? "";
  if (cookie !== undefined && /=./.test(value) && value !== cookie) renewed.set(cookie, value);
  return answer;
}

/** Paths at which a browser gets another session, and not its own renewed. */
const SIGNS_IN = /^\/(sign-in|invite|claim|sign-out)/;

/** Opens a page as a browser does. */
export function open(app: App, url: string, options: FormOptions = {}): Promise<Answer> {
  const cookie = sentBy(options);
  return call(app, "GET", url, {
    headers: { accept: "text/html", ...(cookie === undefined ? {} : { cookie }), ...options.headers },
  });
}

function sentBy({ cookie, copied }: FormOptions): string | undefined {
  return cookie === undefined || copied ? cookie : cookieNow(cookie);
}

/** Sends a form as a browser does from a page of the same origin; `headers` replace what it says of that. */
export function submit(
  app: App,
  url: string,
  fields: Record<string, string> | [string, string][],
  options: FormOptions = {},
): Promise<Answer> {
  const { headers = SAME_ORIGIN } = options;
  const cookie = sentBy(options);
  const answering = call(app, "POST", url, {
    body: new URLSearchParams(fields).toString(),
    headers: {
      accept: "text/html",
      "content-type": "application/x-www-form-urlencoded",
      ...(cookie === undefined ? {} : { cookie }),
      ...headers,
    },
  });
  return SIGNS_IN.test(url) || options.copied ? answering : keepCookie(cookie, answering);
}

/**
 * The page that an answered form leads to, with what it says of the form. An answer that leads nowhere is returned as it is.
 */
export async function landing(app: App, answer: Answer, { cookie }: FormOptions): Promise<Answer> {
  if (answer.status !== 303) return answer;
  const said = setCookies(answer).find((line) => line.startsWith("countersign-said="));
  const cookies = [cookie === undefined ? undefined : cookieNow(cookie), said?.split(";", 1)[0]];
  const headers = { cookie: cookies.filter((one) => one !== undefined).join("; ") };
  return open(app, String(answer.headers.location), { headers });
}

/** What a refused form says on the page that it leads back to; `undefined`: it was not refused, or has a page of its own. */
export function refusalOf(answer: Answer): string | undefined {
  const said = setCookies(answer).find((line) => line.startsWith("countersign-said="));
  const [, words] = /=([\w-]+)\./.exec(said ?? "") ?? [];
  return words === undefined ? undefined : JSON.parse(Buffer.from(words, "base64url").toString()).message;
}

/** The `Set-Cookie` lines of an answer. */
export function setCookies(answer: Answer): string[] {
  return [answer.headers["set-cookie"] ?? []].flat() as string[];
}

/** Which of them is the session's: a page sets the device's, too. */
function isSession(line: string): boolean {
  return /^(__Host-)?countersign=/.test(line);
}

/** What the browser sends back from now on to be signed in. */
export function cookieOf(answer: Answer): string {
  const found = setCookies(answer).find(isSession);
  expect(found, answer.text).toBeDefined();
  return found?.split(";", 1)[0] ?? "";
}

/** The value of a hidden field of a page's form, `form_token` if no other is named. */
export function hiddenValue(page: Answer, form: string, name = "form_token"): string {
  const start = page.text.indexOf(`action="${form}"`);
  const part = start < 0 ? "" : page.text.slice(start, page.text.indexOf("</form>", start));
  const value = new RegExp(`name="${name}" value="([^"]*)"`).exec(part)?.[1];
  expect(value, `${name} in the form ${form} of ${page.text}`).toBeDefined();
  return (value ?? "").replaceAll("&quot;", '"').replaceAll("&amp;", "&");
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
