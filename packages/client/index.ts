import createFetchClient, { type ClientOptions, type Client as FetchClient } from "openapi-fetch";
import type { components, paths } from "./api.ts";

export type { Middleware } from "openapi-fetch";

const PREFIX = "/api/public/v1";

/** The calls by their address without the prefix that all of them share. */
type Calls = {
  [Path in keyof paths as Path extends `${typeof PREFIX}${infer Call}` ? Call : never]: paths[Path];
};

/** A call gives `{ data }` or `{ error }`, each of the types that the OpenAPI document describes. */
export type Client = FetchClient<Calls>;

/** The things of the API by their name in its OpenAPI document, each refusal included. */
export type Schemas = components["schemas"];

/**
 * A typed client of the public API.
 * @param options `origin` is where the service is, such as `https://pay.example.com`; `token` is an `ot_pat_…`
 */
export function createClient({
  origin,
  token,
  ...options
}: { origin: string; token: string } & Pick<ClientOptions, "fetch">): Client {
  return createFetchClient<Calls>({
    ...options,
    baseUrl: new URL(PREFIX, origin).href,
    headers: { authorization: `Bearer ${token}` },
  });
}
