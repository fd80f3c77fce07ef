import type { Answer } from "./fixtures.ts";

// Without anything of vitest, as the chaos run uses it too.
export const PASSWORD = "correct horse battery";
/** What a browser says of a form that was sent from a page of the same origin. */
export const SAME_ORIGIN = { "sec-fetch-site": "same-origin" };

/** A person's browser: pages and forms over a socket, with the cookie of one session. */
export type Browser = {
  open(path: string): Promise<Answer>;
  submit(path: string, fields: Record<string, string>): Promise<Answer>;
};

// The slow card takes 3 s; a request at which the process dies is cut off at once.
const PATIENCE = 60_000;
const ACCEPT = { accept: "text/html" };

/** Signs a person in at the service that listens on `origin`. */
export async function signInAt(origin: string, email: string): Promise<Browser> {
  const answer = await post(`${origin}/sign-in`, { email, password: PASSWORD }, {});
  return browserOf(() => origin, cookieIn(answer));
}

/** Accepts an invitation as a new person. Returns the cookie of their session. */
export async function acceptAt(origin: string, token: string): Promise<string> {
  return cookieIn(await post(`${origin}/invite`, { token, password: PASSWORD }, {}));
}

function cookieIn({ headers, text }: Answer): string {
  const [first] = headers["set-cookie"] as string[];
  if (first === undefined) throw new Error(`nobody is signed in: ${text}`);
  return first.split(";", 1)[0] ?? "";
}

/** The value of a hidden field of a page's form. */
export function fieldOf({ text }: Answer, form: string, name = "form_token"): string {
  const start = text.indexOf(`action="${form}"`);
  const part = start < 0 ? "" : text.slice(start, text.indexOf("</form>", start));
  const value = new RegExp(`name="${name}" value="([^"]*)"`).exec(part)?.[1];
  if (value === undefined) throw new Error(`there is no ${name} in a form ${form} of ${text}`);
  return value;
}

/**
 * A browser that has signed in before. Each request goes to the instance that `origin` names then.
 * @param email whose person signs in again where a page leads there: a new cookie may be lost with its answer
 */
export function browserOf(origin: () => string, signedIn: string, email?: string): Browser {
  let cookie = signedIn;
  const open = async (path: string): Promise<Answer> => {
    const request = { headers: { ...ACCEPT, cookie }, redirect: "manual" as const, signal: patience() };
    return toAnswer(await fetch(origin() + path, request));
  };
  return {
    open: async (path) => {
      const answer = await open(path);
      if (email === undefined || !String(answer.headers.location).startsWith("/sign-in")) return answer;
      cookie = cookieIn(await post(`${origin()}/sign-in`, { email, password: PASSWORD }, {}));
      return open(path);
    },
    submit: async (path, fields) => {
      const answer = await post(origin() + path, fields, { cookie });
      const renewed = (answer.headers["set-cookie"] as string[]).find((line) =>
        /^(__Host-)?countersign=/.test(line),
      );
      if (renewed !== undefined) cookie = renewed.split(";", 1)[0] ?? "";
      return answer;
    },
  };
}

/** What the form of a decision on the approval's page would send. */
export async function readDecision(
  browser: Browser,
  path: string,
  decision: "confirm" | "decline",
): Promise<Record<string, string>> {
  const page = await browser.open(path);
  const form = `${path}/${decision}`;
  return {
    nonce: fieldOf(page, form, "nonce"),
    digest: fieldOf(page, form, "digest"),
    form_token: fieldOf(page, form),
  };
}

/** Opens the page of an approval and sends its form. */
export async function decideAt(
  browser: Browser,
  path: string,
  decision: "confirm" | "decline",
): Promise<Answer> {
  return browser.submit(`${path}/${decision}`, await readDecision(browser, path, decision));
}

/**
 * What a person does whose bank asks: say that it is them, or not, or give the payment up.
 * @returns `undefined`: the page leads to no bank any more
 */
export async function answerBank(
  browser: Browser,
  path: string,
  answer: "pass" | "fail" | "give-up",
): Promise<Answer | undefined> {
  const page = await browser.open(path);
  if (answer === "give-up") {
    const form = `${path}/cancel-payment`;
    return browser.submit(form, { form_token: fieldOf(page, form) });
  }
  const bank = bankIn(page.text);
  if (bank === "") return undefined;
  if (!bank.startsWith("http")) {
    const form_token = fieldOf(await browser.open(bank), bank);
    return browser.submit(bank, { answer, form_token });
  }
  // The page of a test's Stripe, which then sends the person back.
  const said = { answer: answer === "pass" ? "complete" : "fail" };
  const { headers } = await post(bank, said, {});
  // Their bank may have heard before: then its page leads nowhere, and they come back by themselves.
  const location = headers.location === undefined ? undefined : new URL(String(headers.location));
  const back = await browser.open(location === undefined ? path : location.pathname + location.search);
  const look = `${path}/look`;
  // Another caller may have read the outcome meanwhile.
  if (!back.text.includes(`action="${look}"`)) return back;
  return browser.submit(look, { form_token: fieldOf(back, look) });
}

/** Where a page sends a person whose bank asks: a path of the sandbox's, or an address elsewhere. */
export function bankIn(text: string): string {
  const [, own, elsewhere] =
    /href="(?:[^"]*(\/sandbox\/authenticate\/[^"]+)|([^"]*\/3d_secure_2\/hosted[^"]*))"/.exec(text) ?? [];
  return own ?? elsewhere?.replaceAll("&amp;", "&") ?? "";
}

function patience(): AbortSignal {
  return AbortSignal.timeout(PATIENCE);
}

async function post(
  url: string,
  fields: Record<string, string>,
  headers: Record<string, string>,
): Promise<Answer> {
  const body = new URLSearchParams(fields);
  return toAnswer(
    await fetch(url, {
      method: "POST",
      body,
      redirect: "manual",
      signal: patience(),
      headers: { ...ACCEPT, ...SAME_ORIGIN, ...headers },
    }),
  );
}

async function toAnswer(response: Response): Promise<Answer> {
  return {
    status: response.status,
    headers: { ...Object.fromEntries(response.headers), "set-cookie": response.headers.getSetCookie() },
    text: await response.text(),
    body: undefined,
  };
}
