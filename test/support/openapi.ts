/** A copy in which references to anything but schemas are replaced by what they lead to. */
export function inlineComponents(document: any): any {
  const resolve = (part: any): unknown => {
    if (Array.isArray(part)) return part.map(resolve);
    if (typeof part !== "object" || part === null) return part;
    const [, kind = "", name = ""] = /^#\/components\/(\w+)\/(.+)$/.exec(part.$ref ?? "") ?? [];
    if (kind !== "" && kind !== "schemas") return resolve(document.components[kind][name]);
    return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, resolve(value)]));
  };
  return resolve(document);
}
