import { afterAll, expect, vi } from "vitest";
import { closeOpened } from "./closing.ts";
import { cheapenPasswords } from "./passwords.ts";

// Runs again for each file, also where files share a process: what a file has changed there ends with it.
const environment = { ...process.env };
cheapenPasswords();

afterAll(async () => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  await closeOpened();
  const changed = Object.keys({ ...environment, ...process.env }).filter(
    (name) => process.env[name] !== environment[name],
  );
  expect(changed, "variables of the environment that the file has left changed").toEqual([]);
});
