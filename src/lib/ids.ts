import { createHash, randomUUIDv7 } from "node:crypto";

/** What an operator may use as an id: 1–64 of letters, digits, dot, underscore and hyphen (docs/contract.md §0). */
export const EXTERNAL_ID_PATTERN = "^[A-Za-z0-9._-]{1,64}$";
const externalId = new RegExp(EXTERNAL_ID_PATTERN);
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Whether `id` is one that an operator could have brought. */
export function isExternalId(id: string): boolean {
  return externalId.test(id);
}

/** Whether `id` has the form of the ids that the service makes itself (lower-case UUID). */
export function isUuid(id: string): boolean {
  return uuid.test(id);
}

/** A new id of our own: UUIDv7, so that rows of one account lie in the order in which they were made. */
export function newId(): string {
  return randomUUIDv7();
}

/** The lowest UUIDv7 that is made at that time. */
export function lowestIdAt(time: Date): string {
  const hex = Math.max(0, time.getTime()).toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
}

/**
 * The account's internal UUID, derived from the id that the operator uses for it (UUIDv8 over SHA-256).
 * Derived and not drawn, so that `PUT /accounts/{id}` finds its row by primary key: a second unique key
 * on another column could not exist once the table is distributed by `account_id` (docs/design.md, Citus).
 */
export function accountKey(id: string): string {
  const bytes = createHash("sha256").update("countersign:account:").update(id).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytesToUuid(bytes);
}

/** 16 bytes → the UUID's usual form. */
export function bytesToUuid(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** A UUID in its usual form → its 16 bytes. */
export function uuidToBytes(id: string): Buffer {
  return Buffer.from(id.replaceAll("-", ""), "hex");
}
