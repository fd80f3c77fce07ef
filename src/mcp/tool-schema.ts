import type { TObject, TSchema } from "@sinclair/typebox";

/**
 * A copy of a schema that refers to nothing outside itself: the API's description names its shared schemas, but a
 * tool's schema travels alone.
 */
export function selfContained(schema: TObject, shared: readonly TSchema[]): TObject {
  const byReference = new Map(shared.map((one) => [`${one.$id}#`, one]));
  const resolve = (part: unknown): unknown => {
    if (Array.isArray(part)) return part.map(resolve);
    if (typeof part !== "object" || part === null) return part;
    const { $id, $ref, ...rest } = part as Record<string, unknown>;
    if (typeof $ref === "string") {
      const found = byReference.get($ref);
      if (found === undefined) throw new TypeError(`no shared schema is called ${$ref}`);
      return resolve(found);
    }
    return Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, resolve(value)]));
  };
  return resolve(schema) as TObject;
}
