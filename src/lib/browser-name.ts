import Bowser from "bowser";

const SYSTEMS: Record<string, string> = {
  macOS: "a Mac",
  Windows: "Windows",
  iOS: "an iPhone or iPad",
  Android: "Android",
  Linux: "Linux",
  "Chrome OS": "a Chromebook",
};

/** `Chrome on a Mac`, as far as the browser says. */
export function browserName(userAgent: string): string {
  const { browser, os } = Bowser.parse(userAgent || "-");
  const system = os.name === undefined ? undefined : (SYSTEMS[os.name] ?? os.name);
  return [browser.name || "Unknown browser", system].filter(Boolean).join(" on ");
}
