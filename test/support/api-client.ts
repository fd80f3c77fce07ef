import type { AddressInfo } from "node:net";
import { type Client, createClient, type Middleware } from "../../packages/client/index.ts";
import type { App } from "../../src/http/app.ts";

/** Has the app listen on a port of its own. @returns its address */
export async function listen(app: App): Promise<string> {
  await app.listen({ host: "127.0.0.1", port: 0 });
  return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
}

/** An agent's side over the wire, by the client that agents are given. @param watch sees each call and its answer */
export function connectAgent(origin: string, token: string, watch?: Middleware): Client {
  const api = createClient({ origin, token });
  if (watch !== undefined) api.use(watch);
  return api;
}

type Result<Data, Refusal> = { response: Response } & (
  | { data: Data; error?: never }
  | { data?: never; error: Refusal }
);

/** What a call gives; fails the test when it is refused. */
export async function dataOf<Data>(call: Promise<Result<Data, unknown>>): Promise<Data> {
  const { data, error, response } = await call;
  if (data === undefined) throw new Error(`${response.status}: ${JSON.stringify(error)}`);
  return data;
}

/** What a call is refused with; fails the test when it is not. */
export async function refusalOf<Refusal>(call: Promise<Result<unknown, Refusal>>): Promise<Refusal> {
  const { error, response } = await call;
  if (error === undefined) throw new Error(`${response.status}, and no refusal`);
  return error;
}
