const opened: (() => unknown)[] = [];

/** Has `set-up.ts` call `close` when the tests of the file are over, the last one opened first. Tests may call it, too. */
export function closeAfterFile(close: () => unknown): void {
  opened.push(close);
}

/** Closes what the file has opened. */
export async function closeOpened(): Promise<void> {
  for (let close = opened.pop(); close !== undefined; close = opened.pop()) await close();
}
