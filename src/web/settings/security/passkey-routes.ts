import { type Static, Type } from "@sinclair/typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import { may } from "../../../accounts/roles.ts";
import type { App } from "../../../http/app.ts";
import { originOf } from "../../../http/origin.ts";
import { notFound, Problem } from "../../../lib/problems.ts";
import { isActive } from "../../../passkeys/answer-service.ts";
import {
  addPasskey,
  askForNewPasskey,
  askToSignNew,
  listOwnPasskeys,
  PASSKEY_NAME_AT_MOST,
  PASSKEYS_AT_MOST,
  type PasskeyRow,
  passkeyName,
  removePasskey,
  renamePasskey,
} from "../../../passkeys/service.ts";
import type { SessionDeps } from "../../../passkeys/session-deps.ts";
import { askForPresence, proveByPasskey } from "../../../passkeys/sign-in-service.ts";
import { mustSign } from "../../../passkeys/signed-act-service.ts";
import { formToken } from "../../../sign-in/form-token.ts";
import { type Human, openSessionGate } from "../../../sign-in/gate.ts";
import { safeReturnTo } from "../../../sign-in/return-rules.ts";
import type { Fault } from "../../kit/forms.ts";
import { absentFault, presenceByPasskey, proveNow } from "../../kit/presence.ts";
import { callerOf, show, tokenField } from "../../kit/site.ts";
import { newPasskeyPage, PASSKEY_PURPOSES, PASSKEYS, passkeyPage, SECURITY } from "./passkey-pages.ts";

const PASSWORD_FIELD = "password";
const NO_PASSKEY = "No passkey was added. The prompt was closed, or more than 5 minutes passed. Try again.";

/** What a browser makes of a passkey's answer, as JSON. */
export const Credential = Type.String({ maxLength: 40_000 });
const form = { form_token: Type.String({ maxLength: 100 }) };
const password = { password: Type.Optional(Type.String({ maxLength: 1024 })) };
const Params = Type.Object({ passkeyId: Type.String() });
const Query = Type.Object({ return_to: Type.Optional(Type.Unsafe<unknown>({})) });
const AddForm = Type.Object(
  {
    ...form,
    ...password,
    credential: Type.Optional(Credential),
    signature: Type.Optional(Credential),
    return_to: Type.Optional(Type.String({ maxLength: 2048 })),
  },
  { additionalProperties: false },
);
const RenameForm = Type.Object({ ...form, name: Type.String({ maxLength: 1024 }) });
const RemoveForm = Type.Object({ ...form, ...password });
const PresenceForm = Type.Object({ ...form, credential: Type.Optional(Credential) });

/** What a person does about their own passkeys (docs/contract.md §7). */
export function passkeyRoutes(app: App, deps: SessionDeps): void {
  addingRoutes(app, deps);
  changingRoutes(app, deps);
  presenceRoutes(app, deps);
}

function addingRoutes(app: App, deps: SessionDeps): void {
  const page = openSessionGate(deps);
  app.get(
    `${PASSKEYS}/new`,
    { ...page.options, schema: { hide: true, querystring: Query } },
    async (request, reply) => {
      const { return_to } = request.query;
      return showNew(deps, reply, page.human(request), typeof return_to === "string" ? return_to : undefined);
    },
  );

  const gate = openSessionGate(deps, {
    purpose: () => PASSKEY_PURPOSES.add,
    returnTo: () => `${PASSKEYS}/new`,
  });
  const options = { ...gate.options, schema: { hide: true as const, body: AddForm } };
  app.post(`${PASSKEYS}/options`, options, async (request, reply) => {
    const human = gate.human(request);
    const { password: typed } = request.body;
    const acting = await findAdding(deps, request, reply, human, typed);
    if (acting === undefined)
      return reply.code(422).send({ error: absentFault(PASSWORD_FIELD, typed).message });
    return reply.send(await askForNewPasskey(deps, acting));
  });

  app.post(`${PASSKEYS}/sign`, options, async (request, reply) => {
    const { credential = "" } = request.body;
    const name = passkeyName(callerOf(request).userAgent);
    return reply.send(await askToSignNew(deps, gate.human(request), { credential, name }));
  });

  app.post(PASSKEYS, options, async (request, reply) => {
    const human = gate.human(request);
    const { password: typed, credential = "", signature, return_to: returnTo } = request.body;
    const complain = (fault: Fault) => showNew(deps, reply, human, returnTo, fault);
    const acting = await findAdding(deps, request, reply, human, typed);
    if (acting === undefined) return complain(absentFault(PASSWORD_FIELD, typed));
    const name = passkeyName(callerOf(request).userAgent);
    const added = await addPasskey(deps, acting, { credential, name, signature }, originOf(request));
    if (added === undefined) return complain({ field: "passkey", message: NO_PASSKEY });
    reply.header("set-cookie", added.cookie);
    if (!added.trusted) return reply.redirect(`${SECURITY}?said=passkey-waits`, 303);
    return reply.redirect(returnTo === undefined ? `${SECURITY}?said=passkey` : safeReturnTo(returnTo), 303);
  });
}

function changingRoutes(app: App, deps: SessionDeps): void {
  const page = openSessionGate(deps);
  app.get(
    `${PASSKEYS}/:passkeyId`,
    { ...page.options, schema: { hide: true, params: Params } },
    async (request, reply) => {
      const human = page.human(request);
      return showOne(deps, reply, human, await findOwn(deps, human, request.params.passkeyId));
    },
  );

  const gateFor = (purpose: (id: string) => string) =>
    openSessionGate(deps, { purpose: (request) => purpose(idOf(request)), returnTo: () => SECURITY });

  const renaming = gateFor(PASSKEY_PURPOSES.rename);
  app.post(
    `${PASSKEYS}/:passkeyId/name`,
    { ...renaming.options, schema: { hide: true, params: Params, body: RenameForm } },
    async (request, reply) => {
      const human = renaming.human(request);
      const passkey = await findOwn(deps, human, request.params.passkeyId);
      const name = request.body.name.replaceAll(/\s+/g, " ").trim();
      if (name === "" || name.length > PASSKEY_NAME_AT_MOST) {
        const message =
          name === "" ? "Enter a name." : `Use at most ${PASSKEY_NAME_AT_MOST} characters for the name.`;
        return showOne(deps, reply, human, passkey, { field: "name", message });
      }
      await renamePasskey(deps, human, passkey.id, name);
      return reply.redirect(`${SECURITY}?said=passkey-renamed`, 303);
    },
  );

  const removing = gateFor(PASSKEY_PURPOSES.remove);
  app.post(
    `${PASSKEYS}/:passkeyId/remove`,
    { ...removing.options, schema: { hide: true, params: Params, body: RemoveForm } },
    async (request, reply) => {
      const human = removing.human(request);
      const passkey = await findOwn(deps, human, request.params.passkeyId);
      const { password: typed } = request.body;
      const acting = await proveNow(deps, request, reply, human, typed);
      if (acting === undefined)
        return showOne(deps, reply, human, passkey, absentFault(PASSWORD_FIELD, typed));
      const cookie = await removePasskey(deps, acting, passkey.id, originOf(request));
      if (cookie !== undefined) reply.header("set-cookie", cookie);
      return reply.redirect(`${SECURITY}?said=passkey-removed`, 303);
    },
  );
}

/** For a script: a passkey in place of the password, on any page that asks for one. */
function presenceRoutes(app: App, deps: SessionDeps): void {
  const gate = openSessionGate(deps, {
    purpose: () => PASSKEY_PURPOSES.presence,
    returnTo: () => SECURITY,
  });
  const options = { ...gate.options, schema: { hide: true as const, body: PresenceForm } };
  app.post(`${SECURITY}/presence/options`, options, async (request, reply) =>
    reply.send(await askForPresence(deps, gate.human(request))),
  );
  app.post(`${SECURITY}/presence`, options, async (request, reply) => {
    const { credential = "" } = request.body;
    const proved = await proveByPasskey(deps, gate.human(request), credential, originOf(request));
    if (proved === undefined) return reply.code(422).send();
    return reply.header("set-cookie", proved.cookie).code(204).send();
  });
}

/** Who adds a passkey: proved by the signature of another, where one must sign, and else by a password or lately. */
async function findAdding(
  deps: SessionDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  human: Human,
  typed: string | undefined,
): Promise<Human | undefined> {
  const signs = human.trusted && (await mustSign(deps.db, human.userId));
  return signs ? human : proveNow(deps, request, reply, human, typed);
}

async function showNew(
  deps: SessionDeps,
  reply: FastifyReply,
  human: Human,
  wanted: string | undefined,
  fault?: Fault,
): Promise<FastifyReply> {
  if (deps.relyingParty === undefined) throw new Problem("passkeys_unavailable");
  const own = await listOwnPasskeys(deps, human.userId);
  const page = newPasskeyPage(human, {
    tokenField: tokenField(deps, human, PASSKEY_PURPOSES.add),
    presence: presenceOf(deps, human, own, { reload: await mustSign(deps.db, human.userId) }),
    returnTo: wanted === undefined ? undefined : safeReturnTo(wanted),
    full: own.length >= PASSKEYS_AT_MOST,
    signs: human.trusted && (await mustSign(deps.db, human.userId)),
    standing: own.some((one) => isActive(one, human.now)) ? "counts" : own.length > 0 ? "waits" : "none",
    fault,
  });
  return show(deps, reply, page, { human, status: fault === undefined ? 200 : 422 });
}

async function showOne(
  deps: SessionDeps,
  reply: FastifyReply,
  human: Human,
  passkey: PasskeyRow,
  fault?: Fault,
): Promise<FastifyReply> {
  const own = await listOwnPasskeys(deps, human.userId);
  const counting = own.filter((one) => isActive(one, human.now));
  const last =
    counting.length === 1 && counting[0]?.id === passkey.id
      ? human.memberships.filter(({ coSign, role }) => coSign === "passkey" && may(role, "decide"))
      : [];
  const page = passkeyPage(human, passkey, {
    tokens: (purpose) => tokenField(deps, human, purpose),
    presence: presenceOf(deps, human, own),
    last: last.map(({ accountName }) => accountName),
    fault,
  });
  return show(deps, reply, page, { human, status: fault === undefined ? 200 : 422 });
}

function presenceOf(
  deps: SessionDeps,
  human: Human,
  own: readonly PasskeyRow[],
  options?: { reload: boolean },
) {
  if (own.length === 0 || deps.relyingParty === undefined) return undefined;
  return presenceByPasskey(human, formToken(deps.keys, human, PASSKEY_PURPOSES.presence), options);
}

/** @throws Problem not_found for a passkey that is not theirs */
async function findOwn(deps: SessionDeps, human: Human, id: string): Promise<PasskeyRow> {
  const passkey = (await listOwnPasskeys(deps, human.userId)).find((own) => own.id === id);
  if (passkey === undefined) throw notFound("passkeys", "passkeyId", id);
  return passkey;
}

function idOf(request: FastifyRequest): string {
  return (request.params as Static<typeof Params>).passkeyId;
}
