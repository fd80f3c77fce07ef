import pg from "pg";

/**
 * What every connection asks for in its first message, as other drivers do. Poolers track exactly these, so they
 * hold behind one too; a `set` would leak to other clients there, or vanish.
 */
const SESSION = { client_encoding: "UTF8", DateStyle: "ISO, YMD", TimeZone: "UTC" };

/** pg sends PGOPTIONS where a connection has no options of its own: blank ones keep it out. */
export const NO_OPTIONS = " ";

/** How pg puts together its first message; its types leave that out. */
const pgStartup = (
  pg.Client.prototype as unknown as { getStartupConf(this: pg.Client): Record<string, string> }
).getStartupConf;

/**
 * A connection that reads and writes text and times in one way, whatever the server, the role or the environment
 * (PGOPTIONS) say otherwise. Options in the address itself are kept.
 */
export class SettledClient extends pg.Client {
  constructor(config: pg.ClientConfig = {}) {
    super({ options: NO_OPTIONS, ...config });
  }

  /** Called by pg when it connects. */
  getStartupConf(): Record<string, string> {
    const { options = "", replication: _, ...startup } = pgStartup.call(this);
    return { ...startup, ...SESSION, ...(options.trim() === "" ? {} : { options }) };
  }
}
