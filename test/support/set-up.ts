import { afterAll, expect, vi } from "vitest";
import { closeOpened } from "./closing.ts";

// Runs anew for each file, also where files share a process: what a file has changed there ends with it.
const environment = { ...process.env };

afterAll(async () => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  await closeOpened();
  const changed = Object.keys({ ...environment, ...process.env }).filter(
    (name) => process.env[name] !== environment[name],
  );
  expect(changed, "variables of the environment that the file has left changed").toEqual([]);
});
