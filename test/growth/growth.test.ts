import { expect, test, vi } from "vitest";
import { asAdmin, cloneDatabase } from "../support/clones.ts";
import { count } from "../support/long.ts";
import { startService } from "../support/service.ts";
import { growDatabase } from "./data.ts";
import { explainEverything, mostOf, Recorder, type Work } from "./plans.ts";
import { playScenes } from "./scenes.ts";

vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

/** Enough to fill every page of a list. */
const SMALL = 2_000;
const LARGE = Number(process.env.GROWTH_ROWS ?? count(8_000, 100_000));
/** Pages that a statement may touch more of than in the small database: per tree that it goes down, and what a new page or a cold catalogue costs. */
const LEVELS = 2;
const BY_CHANCE = { write: 200, read: 100 };
/** An account has fewer pending approvals: by which index one of them is found is left to Postgres. */
const PENDING = 100;
const FACTOR = 1.2;
/** Sorts all contracts of an account, which Postgres takes to be few: it reads more rows, and hardly more pages. */
const SORTED = "page: /contracts: ";

async function grow(n: number, settings?: Record<string, string>): Promise<Map<string, Work>> {
  const url = await cloneDatabase();
  const { token } = await growDatabase(asAdmin(url), n);
  await explainEverything(url, settings);
  const service = await startService({}, url);
  const recorder = new Recorder(service.connection);
  await playScenes({ service, recorder, token, n });
  return mostOf(recorder.works);
}

const writes = ({ text }: Work) => /^(insert|update|delete)/i.test(text);

test("no statement of a request or a sweep reads more where there is more", async () => {
  // In small tables Postgres would read everything, as that is quickest.
  const indexes = { enable_seqscan: "off" };
  const small = await grow(SMALL, indexes);
  const large = await grow(LARGE, LARGE < 100_000 ? indexes : {});
  const grown = [...large].flatMap(([key, work]) => {
    const before = small.get(key);
    if (before === undefined) return [];
    const rows = before.rows * FACTOR + PENDING;
    const buffers =
      before.buffers * FACTOR + LEVELS * work.descents + BY_CHANCE[writes(work) ? "write" : "read"];
    if ((work.rows <= rows || key.startsWith(SORTED)) && work.buffers <= buffers) return [];
    return [
      `${key}\n  rows ${before.rows} → ${work.rows}, buffers ${before.buffers} → ${work.buffers}\n  ${before.shape}\n  ${work.shape}`,
    ];
  });
  if (process.env.GROWTH_TABLE) {
    for (const [key, work] of large) {
      const before = small.get(key);
      console.log(
        `${key.slice(0, 150)} | rows ${before?.rows ?? "–"} → ${work.rows} | buffers ${before?.buffers ?? "–"} → ${work.buffers}`,
      );
    }
  }
  expect(grown.join("\n")).toBe("");
  expect(large.size).toBeGreaterThan(200);
});
