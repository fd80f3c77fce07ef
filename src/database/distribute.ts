import { sql } from "kysely";
import { StartError } from "../lib/start-error.ts";
import { DAY } from "../lib/time.ts";
import { APPLICATION, connect, type Db, type Trx } from "./connection.ts";
import { grantToRunningRole } from "./grants.ts";
import { migrate } from "./migrate.ts";

/** Tables of one row that statements on the accounts' tables read, or refer to: copied to every node. */
const COPIED = ["processor", "payment_pause"] as const;
/** Every other account table is co-located with it: an account's rows of all tables are on one node. */
const FIRST = "accounts";
const MOVING = "moving";

type Say = (line: string) => void;

/**
 * Distributes the accounts' tables by `account_id` over the nodes of a Citus cluster, after it has migrated the database. All
 * other tables stay on the coordinator. A table that is distributed already is left as it is, so a run that was
 * interrupted is continued by the next one. Each table is moved in a transaction of its own.
 * @param url leads to the coordinator, as the role that owns the tables or is to own them
 * @param shards how many for each table; undefined: as the server's `citus.shard_count` says
 * @param say is told each step
 * @throws StartError, in one line, if this is no coordinator of a cluster, or the service is running
 */
export function distribute(url: string, shards: number | undefined, say: Say): Promise<void> {
  return onCoordinator(url, async (db) => {
    await assertOwner(db);
    await assertUnused(db);
    await migrate(url);
    await sql`select create_distributed_function('server_run_at(uuid)')`.execute(db);
    await markRuns(db);
    for (const { name, distributed } of await listTables(db, COPIED)) {
      if (distributed) say(`${name} is copied to every node already.`);
      else {
        await withoutTriggers(db, name, sql`select create_reference_table(${name})`);
        say(`${name} is now copied to every node.`);
      }
    }
    for (const { name, distributed } of parentsFirst(await listAccountTables(db))) {
      if (distributed) say(`${name} is distributed already.`);
      else {
        const like =
          name !== FIRST
            ? sql`colocate_with => ${FIRST}`
            : shards === undefined
              ? sql`colocate_with => 'none'`
              : sql`colocate_with => 'none', shard_count => ${shards}::integer`;
        await withoutTriggers(db, name, sql`select create_distributed_table(${name}, 'account_id', ${like})`);
        say(`${name} is now distributed by account_id.`);
      }
    }
    await removeLocalRows(db, say);
    await renewRuns(db);
    say(await describeCluster(db));
  });
}

/**
 * The way back: moves all rows to the coordinator again. Tables that refer to each other are moved in one transaction.
 * @throws StartError as `distribute`
 */
export function undistribute(url: string, say: Say): Promise<void> {
  return onCoordinator(url, async (db) => {
    await assertOwner(db);
    await assertUnused(db);
    await markRuns(db);
    for (;;) {
      const tables = [...(await listAccountTables(db)), ...(await listTables(db, COPIED))];
      const next = tables.find(({ distributed }) => distributed);
      if (next === undefined) break;
      await inMove(db, async (trx) => {
        await sql`select undistribute_table(${next.name}, cascade_via_foreign_keys => true)`.execute(trx);
      });
      say(`${next.name} is now on the coordinator alone, with the tables that refer to it.`);
    }
    await renewRuns(db);
    await grantToRunningRole(db);
    say("Every table is on the coordinator alone.");
  });
}

/** Accounts whose numbers are those of the server's run that they are in: moving them to another server loses none. */
async function markRuns(db: Db): Promise<void> {
  await sql`update account_heads set run = ${MOVING} where run = server_run_at(account_id)`.execute(db);
}

async function renewRuns(db: Db): Promise<void> {
  await sql`update account_heads set run = server_run_at(account_id) where run = ${MOVING}`.execute(db);
}

async function onCoordinator(url: string, work: (db: Db) => Promise<void>): Promise<void> {
  // Moving a large table takes as long as it takes.
  const { db, close } = connect(url, {
    size: 1,
    statementTimeout: DAY,
    lockTimeout: 10_000,
    onIdleError: () => {},
  });
  try {
    await assertCoordinator(db);
    await work(db);
  } finally {
    await close();
  }
}

/** Runs what moves tables in one transaction, with what Citus needs for it: the pool's connection may have been replaced. */
function inMove(db: Db, work: (trx: Trx) => Promise<void>): Promise<void> {
  return db.transaction().execute(async (trx) => {
    await sql`set local search_path to public`.execute(trx);
    // Keys to tables that are copied to every node need one shard after the other.
    await sql`set local citus.multi_shard_modify_mode to 'sequential'`.execute(trx);
    // Shards get the triggers of their table: each reads only its account's rows, which are on the same node.
    await sql`set local citus.enable_unsafe_triggers to on`.execute(trx);
    // Foreign keys to a table that is copied to every node would else make local tables of Citus' own kind of those that have them.
    await sql`set local citus.enable_local_reference_table_foreign_keys to off`.execute(trx);
    await work(trx);
  });
}

async function assertCoordinator(db: Db): Promise<void> {
  const { rows: extensions } = await sql`select from pg_extension where extname = 'citus'`.execute(db);
  if (extensions.length === 0) {
    throw new StartError(
      "This database has no Citus: run `create extension citus` in it, on every node, as a superuser; docs/scaling.md says how.",
    );
  }
  const { rows } = await sql<{ coordinator: boolean; workers: number }>`
    select citus_is_coordinator() as coordinator,
      (select count(*) from pg_dist_node where noderole = 'primary' and isactive and shouldhaveshards) as workers`.execute(
    db,
  );
  if (rows[0]?.coordinator !== true) {
    throw new StartError(
      "This is a worker of a Citus cluster: point DATABASE_MIGRATE_URL (or DATABASE_URL) to its coordinator.",
    );
  }
  if (rows[0].workers === 0) {
    throw new StartError(
      "The cluster has no node that takes shards: add its workers by `select citus_add_node('host', 5432)`, as a superuser.",
    );
  }
}

async function assertOwner(db: Db): Promise<void> {
  const { rows } = await sql<{ role: string; table: string }>`
    select current_user::text as role, c.relname as table from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and not pg_has_role(c.relowner, 'usage')
    order by c.relname limit 1`.execute(db);
  const [other] = rows;
  if (other === undefined) return;
  throw new StartError(
    `The role ${other.role} does not own the table ${other.table}: point DATABASE_MIGRATE_URL to the role that does.`,
  );
}

async function assertUnused(db: Db): Promise<void> {
  const { rows } = await sql<{ sessions: number }>`
    select count(*) as sessions from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and starts_with(application_name, ${APPLICATION})`.execute(
    db,
  );
  const sessions = rows[0]?.sessions ?? 0;
  if (sessions === 0) return;
  throw new StartError(
    `The service is running: its processes hold ${sessions} connections to this database. Stop them first.`,
  );
}

type Table = { name: string; parents: string[]; distributed: boolean };

const TABLE = sql`c.relname as name, array(
    select r.relname::text from pg_constraint f join pg_class r on r.oid = f.confrelid
    where f.conrelid = c.oid and f.contype = 'f' and f.confrelid <> c.oid
  ) as parents, exists (select from pg_dist_partition p where p.logicalrelid = c.oid and p.colocationid > 0) as distributed`;

/** Tables whose rows belong to an account: `account_id` is the first column of their key (invariant 9). */
async function listAccountTables(db: Db): Promise<Table[]> {
  const { rows } = await sql<Table>`
    select ${TABLE} from pg_class c
    join pg_index i on i.indrelid = c.oid and i.indisprimary
    join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0] and a.attname = 'account_id'
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
    order by c.relname`.execute(db);
  return rows;
}

async function listTables(db: Db, names: readonly string[]): Promise<Table[]> {
  const { rows } = await sql<Table>`
    select ${TABLE} from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relname = any(${names}::text[])
    order by c.relname`.execute(db);
  return rows;
}

/** A table after those that it refers to, as its shards' foreign keys need theirs. */
function parentsFirst(tables: readonly Table[]): Table[] {
  const left = new Map(tables.map((table) => [table.name, table]));
  const ordered: Table[] = [];
  while (left.size > 0) {
    const ready = [...left.values()].filter(({ parents }) => !parents.some((parent) => left.has(parent)));
    if (ready.length === 0) throw new TypeError("account tables refer to each other in a circle");
    for (const table of ready) left.delete(table.name);
    ordered.push(...ready);
  }
  return ordered;
}

/** The triggers bind what the service writes. Rows that are moved were written before. */
async function withoutTriggers(db: Db, name: string, move: ReturnType<typeof sql>): Promise<void> {
  await inMove(db, async (trx) => {
    await sql`alter table ${sql.table(name)} disable trigger user`.execute(trx);
    await move.execute(trx);
    await sql`alter table ${sql.table(name)} enable trigger user`.execute(trx);
  });
}

/** What a table held before stays on the coordinator, unseen, until it is truncated. */
async function removeLocalRows(db: Db, say: Say): Promise<void> {
  const names = (await listAccountTables(db)).map(({ name }) => name);
  const holdsRows = async (on: Db, name: string) => {
    const { rows } = await sql<{ held: boolean }>`
      select pg_relation_size(${name}::regclass) > 0 as held`.execute(on);
    return rows[0]?.held === true;
  };
  let removed = false;
  await inMove(db, async (trx) => {
    // On the coordinator alone: the shards keep their triggers, and their rows.
    const alone = sql`set local citus.enable_ddl_propagation to off`;
    await alone.execute(trx);
    for (const name of names) await sql`alter table ${sql.table(name)} disable trigger user`.execute(trx);
    for (const name of names) {
      // Tables that refer to one are emptied with it.
      if (!(await holdsRows(trx, name))) continue;
      await sql`select truncate_local_data_after_distributing_table(${name})`.execute(trx);
      await alone.execute(trx);
      removed = true;
    }
    for (const name of names) await sql`alter table ${sql.table(name)} enable trigger user`.execute(trx);
  });
  if (removed) say("The rows that were moved are removed from the coordinator's own tables.");
}

async function describeCluster(db: Db): Promise<string> {
  const { rows } = await sql<{ tables: number; shards: number; nodes: number }>`
    select (select count(*) from pg_dist_partition p where p.colocationid = c.colocationid) as tables,
      c.shardcount as shards,
      (select count(*) from pg_dist_node where noderole = 'primary' and isactive and shouldhaveshards) as nodes
    from pg_dist_partition f join pg_dist_colocation c on c.colocationid = f.colocationid
    where f.logicalrelid = ${FIRST}::regclass`.execute(db);
  const { tables, shards, nodes } = rows[0] ?? { tables: 0, shards: 0, nodes: 0 };
  return `${tables} tables of accounts are distributed, in ${shards} shards each, over ${nodes} nodes.`;
}
