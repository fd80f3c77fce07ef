import { type Static, type TObject, type TProperties, Type } from "@sinclair/typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { App } from "../../http/app.ts";
import { Problem, type ProblemName } from "../../lib/problems.ts";
import { type Human, openSessionGate } from "../../sign-in/gate.ts";
import { PASSWORD_AT_MOST, type SignInDeps } from "../../sign-in/service.ts";
import { leadTo } from "./said.ts";

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

/** Why a form was refused, where its page can say so and shows what there is now; the others have a page of their own. */
const SAID_THERE: ReadonlySet<ProblemName> = new Set([
  "account_frozen",
  "act_signature_required",
  "last_owner",
  "own_passkey_required",
  "passkey_limit_reached",
  "passkey_missing",
  "passkey_proof_required",
  "passkey_refused",
  "passkeys_unavailable",
  "payments_paused",
  "presence_expired",
  "second_decider_missing",
  "second_person_missing",
  "statement_stale",
  "token_limit_reached",
  "top_up_ended",
  "top_up_limit_reached",
  "webhook_disabled",
  "webhook_limit_reached",
]);

/** In place of a message that speaks to programs. */
const FOR_PEOPLE: Partial<Record<ProblemName, string>> = {
  payments_paused: "The operator of this service has paused all payments. Try again later.",
  token_limit_reached: "The account has reached its limit of active API keys. Revoke one first.",
};

/**
 * Takes forms of signed-in people (docs/contract.md §7). What is refused leads back to the form's page, which says why.
 * @param form.fields beside the form token; any other field is rejected
 * @param form.purpose what the form does and to what, as its page passed it to `formToken`
 * @param form.returnTo the form's page: where a refusal leads, and a person who must sign in first
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
    app.post(path, { ...gate.options, schema }, async (request, reply) => {
      const asked = askedOf<P, B>(request, gate.human(request));
      try {
        return await answer(asked, reply);
      } catch (error) {
        if (!(error instanceof Problem) || !SAID_THERE.has(error.problem)) throw error;
        const said = { message: `Nothing was done. ${FOR_PEOPLE[error.problem] ?? error.message}` };
        return leadTo(deps, reply, asked.human, returnTo(asked.params), said);
      }
    });
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
