import { Type } from "@sinclair/typebox";
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
import type { Human } from "../../../sign-in/gate.ts";
import { safeReturnTo } from "../../../sign-in/return-rules.ts";
import type { Fault } from "../../kit/forms.ts";
import { type Answer, Credential, PASSWORD, PROOF, personForm, personPage } from "../../kit/person-routes.ts";
import { absentFault, presenceByPasskey, proveNow } from "../../kit/presence.ts";
import { leadToFault, takeFault } from "../../kit/said.ts";
import { setCookie } from "../../kit/signing.ts";
import { callerOf, show, tokenField } from "../../kit/site.ts";
import { newPasskeyPage, PASSKEY_PURPOSES, PASSKEYS, passkeyPage, SECURITY } from "./passkey-pages.ts";

const NEW = `${PASSKEYS}/new`;
const PASSWORD_FIELD = "password";
const NO_PASSKEY = "No passkey was added. The prompt was closed, or more than 5 minutes passed. Try again.";

const PARAMS = { passkeyId: Type.String() };

/** What a person does about their own passkeys (docs/contract.md §7). */
export function passkeyRoutes(app: App, deps: SessionDeps): void {
  addingRoutes(app, deps);
  changingRoutes(app, deps);
  presenceRoutes(app, deps);
}

function addingRoutes(app: App, deps: SessionDeps): void {
  personPage(app, deps, NEW, ({ human, query, request }, reply) =>
    showNew(deps, reply, human, query.return_to, takeFault(deps, request, reply, human).fault),
  );

  const form = personForm(app, deps, {
    fields: {
      ...PROOF,
      signature: Type.Optional(Credential),
      return_to: Type.Optional(Type.String({ maxLength: 2_048 })),
    },
    purpose: () => PASSKEY_PURPOSES.add,
    returnTo: () => NEW,
  });
  form(`${PASSKEYS}/options`, async ({ human, body: { password }, request }, reply) => {
    const acting = await findAdding(deps, request, reply, human, password);
    if (acting === undefined)
      return reply.code(422).send({ error: absentFault(PASSWORD_FIELD, password).message });
    return reply.send(await askForNewPasskey(deps, acting));
  });

  form(`${PASSKEYS}/sign`, async ({ human, body: { credential = "" }, request }, reply) => {
    const name = passkeyName(callerOf(request).userAgent);
    return reply.send(await askToSignNew(deps, human, { credential, name }));
  });

  form(PASSKEYS, async ({ human, body, request }, reply) => {
    const { password, credential = "", signature, return_to: returnTo } = body;
    const query = returnTo === undefined ? "" : `?${new URLSearchParams({ return_to: returnTo })}`;
    const complain = (fault: Fault) => leadToFault(deps, reply, human, NEW + query, fault);
    const acting = await findAdding(deps, request, reply, human, password);
    if (acting === undefined) return complain(absentFault(PASSWORD_FIELD, password));
    const name = passkeyName(callerOf(request).userAgent);
    const added = await addPasskey(deps, acting, { credential, name, signature }, originOf(request));
    if (added === undefined) return complain({ field: "passkey", message: NO_PASSKEY });
    reply.header("set-cookie", added.cookie);
    if (!added.trusted) return reply.redirect(`${SECURITY}?said=passkey-waits`, 303);
    return reply.redirect(returnTo === undefined ? `${SECURITY}?said=passkey` : safeReturnTo(returnTo), 303);
  });
}

function changingRoutes(app: App, deps: SessionDeps): void {
  const path = `${PASSKEYS}/:passkeyId`;
  const page: Answer<typeof PARAMS> = async ({ human, params, request }, reply) => {
    const passkey = await findOwn(deps, human, params.passkeyId);
    return showOne(deps, reply, human, passkey, takeFault(deps, request, reply, human).fault);
  };
  personPage(app, deps, path, page, PARAMS);
  const common = { params: PARAMS, returnTo: () => SECURITY };

  const renaming = personForm(app, deps, {
    ...common,
    fields: { name: Type.String({ maxLength: 1_024 }) },
    purpose: ({ params }) => PASSKEY_PURPOSES.rename(params.passkeyId),
  });
  renaming(`${path}/name`, async ({ human, params, body }, reply) => {
    const passkey = await findOwn(deps, human, params.passkeyId);
    const name = body.name.replaceAll(/\s+/g, " ").trim();
    if (name === "" || name.length > PASSKEY_NAME_AT_MOST) {
      const message =
        name === "" ? "Enter a name." : `Use at most ${PASSKEY_NAME_AT_MOST} characters for the name.`;
      return leadToFault(deps, reply, human, `${PASSKEYS}/${passkey.id}`, { field: "name", message });
    }
    await renamePasskey(deps, human, passkey.id, name);
    return reply.redirect(`${SECURITY}?said=passkey-renamed`, 303);
  });

  const removing = personForm(app, deps, {
    ...common,
    fields: PASSWORD,
    purpose: ({ params }) => PASSKEY_PURPOSES.remove(params.passkeyId),
  });
  removing(`${path}/remove`, async ({ human, params, body: { password }, request }, reply) => {
    const passkey = await findOwn(deps, human, params.passkeyId);
    const acting = await proveNow(deps, request, reply, human, password);
    if (acting === undefined) {
      const fault = absentFault(PASSWORD_FIELD, password);
      return leadToFault(deps, reply, human, `${PASSKEYS}/${passkey.id}`, fault);
    }
    setCookie(reply, await removePasskey(deps, acting, passkey.id, originOf(request)));
    return reply.redirect(`${SECURITY}?said=passkey-removed`, 303);
  });
}

/** For a script: a passkey in place of the password, on any page that asks for one. */
function presenceRoutes(app: App, deps: SessionDeps): void {
  const form = personForm(app, deps, {
    fields: { credential: Type.Optional(Credential) },
    purpose: () => PASSKEY_PURPOSES.presence,
    returnTo: () => SECURITY,
  });
  form(`${SECURITY}/presence/options`, async ({ human }, reply) =>
    reply.send(await askForPresence(deps, human)),
  );
  form(`${SECURITY}/presence`, async ({ human, body: { credential = "" }, request }, reply) => {
    const proved = await proveByPasskey(deps, human, credential, originOf(request));
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
  fault: Fault | undefined,
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
  return show(deps, reply, page, { human });
}

async function showOne(
  deps: SessionDeps,
  reply: FastifyReply,
  human: Human,
  passkey: PasskeyRow,
  fault: Fault | undefined,
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
  return show(deps, reply, page, { human });
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
