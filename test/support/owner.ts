import { type Connection, connect, type Db } from "../../src/database/connection.ts";
import { RUNNING_ROLE } from "../../src/database/grants.ts";
import { asOwner } from "./clones.ts";
import { closeAfterFile } from "./closing.ts";

const urls = new WeakMap<Db, string>();
const connections = new WeakMap<Db, Connection>();

/** Notes where `db` leads to, for `ownerOf`. What that opens is closed after the file's tests. */
export function noteAddress(db: Db, url: string): void {
  urls.set(db, url);
  closeAfterFile(() => connections.get(db)?.close());
}

/**
 * The database of a service as the role that owns its tables, for what tests arrange and the service may not do:
 * switching triggers off, changing the schema, removing or rewriting what must stay.
 * @param db a test service's, or one that `noteAddress` was told of
 */
export function ownerOf(db: Db): Db {
  const opened = connections.get(db);
  if (opened !== undefined) return opened.db;
  const url = urls.get(db);
  if (url === undefined) throw new TypeError("nobody has noted where this database is");
  const connection = connect(new URL(url).username === RUNNING_ROLE ? asOwner(url) : url, {
    size: 2,
    connectTimeout: 30_000,
    onIdleError: () => {},
  });
  connections.set(db, connection);
  return connection.db;
}
