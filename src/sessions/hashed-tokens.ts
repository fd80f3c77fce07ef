import type { DBAdapter, DBTransactionAdapter, Where } from "better-auth";
import { tokenDigest } from "./cookie.ts";

/**
 * Lets better-auth work with session tokens while the database holds their digests alone: on the way in the
 * token is hashed, on the way out of a look-up by token it is put back. What is listed without a token comes
 * out with digests, so better-auth's own listing and revoking of other sessions would not work; ours do.
 */
export function hashSessionTokens(adapter: DBAdapter): DBAdapter {
  const { transaction } = adapter;
  return {
    ...hashTokens(adapter),
    transaction: (work) => transaction((inner) => work(hashTokens(inner))),
  } as DBAdapter;
}

function hashTokens(adapter: DBTransactionAdapter): DBTransactionAdapter {
  return {
    ...adapter,
    create: async (call) => {
      const token = call.model === "session" ? call.data.token : undefined;
      if (typeof token !== "string") return adapter.create(call);
      const row = await adapter.create({ ...call, data: { ...call.data, token: tokenDigest(token) } });
      return { ...row, token } as never;
    },
    findOne: async (call) => {
      const row = await adapter.findOne({ ...call, where: hashWhere(call.model, call.where) });
      const token = call.model === "session" ? tokenIn(call.where) : undefined;
      return (row === null || token === undefined ? row : { ...row, token }) as never;
    },
    findMany: (call) => adapter.findMany({ ...call, where: hashWhere(call.model, call.where) }),
    count: (call) => adapter.count({ ...call, where: hashWhere(call.model, call.where) }),
    update: (call) =>
      adapter.update({
        ...call,
        where: hashWhere(call.model, call.where),
        update: hashUpdate(call.model, call.update),
      }),
    updateMany: (call) =>
      adapter.updateMany({
        ...call,
        where: hashWhere(call.model, call.where),
        update: hashUpdate(call.model, call.update),
      }),
    delete: (call) => adapter.delete({ ...call, where: hashWhere(call.model, call.where) }),
    deleteMany: (call) => adapter.deleteMany({ ...call, where: hashWhere(call.model, call.where) }),
    consumeOne: (call) => adapter.consumeOne({ ...call, where: hashWhere(call.model, call.where) }),
  };
}

function hashWhere(model: string, where: Where[] = []): Where[] {
  if (model !== "session") return where;
  return where.map((condition) =>
    condition.field === "token" ? { ...condition, value: hashValue(condition.value) } : condition,
  );
}

function hashValue(value: Where["value"]): Where["value"] {
  if (Array.isArray(value)) return value.map((item) => tokenDigest(String(item)));
  return typeof value === "string" ? tokenDigest(value) : value;
}

function hashUpdate<T extends Record<string, unknown>>(model: string, update: T): T {
  if (model !== "session" || typeof update.token !== "string") return update;
  return { ...update, token: tokenDigest(update.token) };
}

function tokenIn(where: Where[]): string | undefined {
  const value = where.find(({ field }) => field === "token")?.value;
  return typeof value === "string" ? value : undefined;
}
