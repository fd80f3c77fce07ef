import { access, chmod, constants, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { type Browser, type BrowserContext, chromium } from "playwright-core";
import { MAILING } from "./agents.ts";
import { closeAfterFile } from "./closing.ts";
import { freePort } from "./process.ts";
import type { Rails } from "./rails.ts";
import { startService, type TestService } from "./service.ts";
import type { FakeStripe } from "./stripe/fake.ts";

/** The widths that pages are made for. */
export const SIZES = {
  desktop: { width: 1280, height: 800 },
  phone: { width: 390, height: 844 },
} as const;

/** Quiet: nothing here may look for updates or call anything but the service. */
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const INSTALLED = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const CACHE = join(import.meta.dirname, "../../node_modules/.cache/countersign-chromium");

let launched: Promise<Browser | undefined> | undefined;

/**
 * The browser of this process, which the test files that run in it share; what a file has opened in it is closed after it.
 * Where none can start, it says so, and the tests that need one are to be skipped: `undefined`. In CI it throws.
 */
export async function launchBrowser(): Promise<Browser | undefined> {
  launched ??= launch();
  const browser = await launched;
  closeAfterFile(() => Promise.all(browser?.contexts().map((context) => context.close()) ?? []));
  return browser;
}

/** It ends with the process. */
async function launch(): Promise<Browser | undefined> {
  try {
    const executablePath = process.env.CHROMIUM_PATH || (await findInstalled()) || (await unpack());
    return await chromium.launch({ executablePath, args: FLAGS });
  } catch (error) {
    const said = "No Chromium starts here. Install one, or name one by CHROMIUM_PATH";
    if (process.env.CI) throw new Error(said, { cause: error });
    const why = /error while loading shared libraries: .*/.exec(String(error))?.[0] ?? String(error);
    console.warn(`${said}; the tests in a browser are skipped. ${why}`);
    return undefined;
  }
}

async function findInstalled(): Promise<string | undefined> {
  const folders = (process.env.PATH ?? "").split(delimiter);
  for (const path of INSTALLED.flatMap((name) => folders.map((folder) => join(folder, name)))) {
    if (await isThere(path)) return path;
  }
  return undefined;
}

/** The Chromium that npm brought, unpacked once: into a folder of our own, which then gets its name in one step. */
async function unpack(): Promise<string> {
  const binary = join(CACHE, "chromium");
  if (await isThere(binary)) return binary;
  const { default: packed } = await import("@sparticuz/chromium");
  await mkdir(join(CACHE, ".."), { recursive: true });
  const folder = await mkdtemp(`${CACHE}-`);
  const { TMPDIR } = process.env;
  // The one way to tell it where to unpack to.
  process.env.TMPDIR = folder;
  await packed.executablePath().finally(() => {
    if (TMPDIR === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = TMPDIR;
  });
  // Created for one user; the next run may be another's.
  await chmod(folder, 0o755);
  // Another test file may have been first.
  await rename(folder, CACHE).catch(() => rm(folder, { recursive: true, force: true }));
  return binary;
}

function isThere(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

export type Site = TestService & { origin: string };

/** The whole app on a port of its own, under the address that it takes for its own, and with mail. */
export async function startSite(rails?: Pick<Rails, "env" | "open">): Promise<Site> {
  const port = await freePort();
  const origin = `http://localhost:${port}`;
  const service = await startService({ PUBLIC_URL: origin, SMTP_URL: MAILING.SMTP_URL }, undefined, rails);
  await service.app.listen({ host: "localhost", port });
  return { ...service, origin };
}

/**
 * Leads what a browser's pages ask of Stripe's addresses to a test's Stripe: they are loaded under the very names
 * that a page's policy lets through.
 */
export async function routeStripe(context: BrowserContext, { url }: FakeStripe): Promise<void> {
  for (const name of ["js", "api", "hooks"]) {
    await context.route(`https://${name}.stripe.com/**`, async (route) => {
      const { pathname, search } = new URL(route.request().url());
      const response = await route.fetch({ url: url + pathname + search, maxRedirects: 0 });
      await route.fulfill({ response });
    });
  }
}
