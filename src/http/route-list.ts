import type { RouteOptions } from "fastify";
import type { Access } from "./access.ts";
import type { App } from "./app.ts";

/** A registered route, for tests and the 405 answer. `body`: the schema of its body. */
export type KnownRoute = {
  method: string;
  url: string;
  operationId: string | undefined;
  access: Access | undefined;
  body: unknown;
  /** A public document, which pages of any site may read. */
  document: boolean;
  matches: RegExp;
};

const known = new WeakMap<object, KnownRoute[]>();

/** Collects the server's routes. A route that does not declare who may call it stops the start. */
export function rememberRoutes(app: App): void {
  const routes: RouteOptions[] = [];
  app.addHook("onRoute", (route) => void routes.push(route));
  app.addHook("onReady", async () => {
    for (const { method, url, config } of routes) {
      if (config?.access === undefined)
        throw new TypeError(`${method} ${url} does not declare who may call it`);
    }
    known.set(app.server, routes.flatMap(toKnown));
  });
}

/** Every route of the server, once it is ready. */
export function listRoutes(app: App): readonly KnownRoute[] {
  return known.get(app.server) ?? [];
}

/** The pattern is compiled once, as each unknown address is matched against all routes. */
function toKnown({ method, url, config, schema }: RouteOptions): KnownRoute[] {
  const matches = patternOf(url);
  return [method].flat().map((one) => ({
    method: one,
    url,
    operationId: schema?.operationId,
    access: config?.access,
    body: schema?.body,
    document: config?.document === true,
    matches,
  }));
}

/** The methods that the address accepts; none if no route matches. */
export function allowedMethods(app: App, url: string): string[] {
  const path = url.split("?", 1)[0] ?? url;
  return [
    ...new Set(
      listRoutes(app)
        .filter((route) => route.matches.test(path))
        .map((route) => route.method),
    ),
  ].sort();
}

/**
 * The nearest address at or above this one that can be opened: `/approvals/a1` of `/approvals/a1/confirm`. The first page,
 * if there is none.
 */
export function findOpenable(app: App, url: string): string {
  for (let path = url.split("?", 1)[0] ?? url; path.length > 1; path = path.slice(0, path.lastIndexOf("/")))
    if (allowedMethods(app, path).includes("GET")) return path;
  return "/";
}

function patternOf(url: string): RegExp {
  const source = url
    .split("/")
    .map((part) =>
      part.startsWith(":") ? "[^/]+" : part === "*" ? ".*" : part.replaceAll(/[.\\+^$(){}|[\]]/g, "\\$&"),
    )
    .join("/");
  return new RegExp(`^${source}$`);
}
