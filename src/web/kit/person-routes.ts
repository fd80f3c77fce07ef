import { type Static, type TObject, type TProperties, Type } from "@sinclair/typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { App } from "../../http/app.ts";
import { type Human, openSessionGate } from "../../sign-in/gate.ts";
import { PASSWORD_AT_MOST, type SignInDeps } from "../../sign-in/service.ts";

/** Fields that several forms have. */
export const UUID = Type.String({ format: "uuid" });
/** A password is checked against the stored one, so that only its length is bounded here. */
export const PASSWORD = { password: Type.Optional(Type.String({ maxLength: 8 * PASSWORD_AT_MOST })) };
/** A passkey's answer, as JSON. */
export const Credential = Type.String({ maxLength: 40_000 });
/** What proves an act: a passkey's signature, or the password. */
export const PROOF = { ...PASSWORD, credential: Type.Optional(Credential) };

/** What a route has validated by its schemas. */
type Sent<P extends TProperties, B extends TProperties> = {
  params: Static<TObject<P>>;
  body: Static<TObject<B>>;
};

type Query = Readonly<Record<string, string | undefined>>;

/** A request of a signed-in person. `query` has the parameters that are text; a lenient page ignores the others. */
export type Asked<P extends TProperties, B extends TProperties> = Sent<P, B> & {
  human: Human;
  query: Query;
  request: FastifyRequest;
};

export type Answer<P extends TProperties, B extends TProperties = None> = (
  asked: Asked<P, B>,
  reply: FastifyReply,
) => Promise<FastifyReply>;

/** No fields, or no parameters. */
export type None = Record<never, never>;

/**
 * Serves a page to signed-in people (docs/contract.md §7). It changes nothing.
 * @param params the parameters of `path`
 * @param returnTo where a person who must sign in first returns to, if not to this address
 */
export function personPage<P extends TProperties = None>(
  app: App,
  deps: SignInDeps,
  path: string,
  answer: Answer<P>,
  params?: P,
  returnTo?: (params: Sent<P, None>["params"], query: Query) => string,
): void {
  const gate = openSessionGate(
    deps,
    returnTo && { returnTo: (request) => returnTo(sentBy<P, None>(request).params, queryOf(request)) },
  );
  const schema = { hide: true, ...(params && { params: Type.Object(params) }) };
  app.get(path, { ...gate.options, schema }, (request, reply) =>
    answer(askedOf(request, gate.human(request)), reply),
  );
}

/**
 * Takes forms of signed-in people (docs/contract.md §7).
 * @param form.fields beside the form token; any other field is rejected
 * @param form.purpose what the form does and to what, as its page passed it to `formToken`
 * @param form.returnTo where a person who must sign in first returns to
 * @returns adds a route: forms that differ in their path alone, such as `/sign`, share the rest
 */
export function personForm<B extends TProperties, P extends TProperties = None>(
  app: App,
  deps: SignInDeps,
  form: {
    params?: P;
    fields: B;
    purpose: (sent: Sent<P, B>) => string;
    returnTo: (params: Sent<P, B>["params"]) => string;
  },
): (path: string, answer: Answer<P, B>) => void {
  const { params, fields, purpose, returnTo } = form;
  const gate = openSessionGate(deps, {
    purpose: (request) => purpose(sentBy(request)),
    returnTo: (request) => returnTo(sentBy<P, B>(request).params),
  });
  const token = { form_token: Type.Optional(Type.String({ maxLength: 100 })) };
  const body = Type.Object({ ...token, ...fields }, { additionalProperties: false });
  const schema = { hide: true, body, ...(params && { params: Type.Object(params) }) };
  return (path, answer) => {
    app.post(path, { ...gate.options, schema }, (request, reply) =>
      answer(askedOf(request, gate.human(request)), reply),
    );
  };
}

/** The request's parts with the types of the route's schemas. */
function sentBy<P extends TProperties, B extends TProperties>(request: FastifyRequest): Sent<P, B> {
  return request as unknown as Sent<P, B>;
}

function askedOf<P extends TProperties, B extends TProperties>(
  request: FastifyRequest,
  human: Human,
): Asked<P, B> {
  const { params, body } = sentBy<P, B>(request);
  return { human, params, body, query: queryOf(request), request };
}

function queryOf({ query }: FastifyRequest): Query {
  const parameters = Object.entries(query as Record<string, unknown>);
  return Object.fromEntries(parameters.filter((one): one is [string, string] => typeof one[1] === "string"));
}
