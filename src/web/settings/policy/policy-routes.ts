import type { FastifyReply } from "fastify";
import { listMembers } from "../../../accounts/member-service.ts";
import { readPolicy, samePolicy } from "../../../accounts/policy-service.ts";
import { may, mayDecide } from "../../../accounts/roles.ts";
import type { App } from "../../../http/app.ts";
import { Problem } from "../../../lib/problems.ts";
import { findPasskeys } from "../../../passkeys/presence-service.ts";
import type { SessionDeps } from "../../../passkeys/session-deps.ts";
import { isDemanded, mustSign } from "../../../passkeys/signed-act-service.ts";
import { formToken } from "../../../sign-in/form-token.ts";
import type { Human } from "../../../sign-in/gate.ts";
import { PENDING } from "../../../team/owner-service.ts";
import { changePolicy, policyAct } from "../../../team/policy-service.ts";
import type { Fault } from "../../kit/forms.ts";
import { type Membership, ownedBy } from "../../kit/memberships.ts";
import { type Asked, type None, personForm, personPage } from "../../kit/person-routes.ts";
import { absentFault, proverOf } from "../../kit/presence.ts";
import { leadTo, leadToFault, type Said, takeFault } from "../../kit/said.ts";
import { answerSigning, findActing, setCookie } from "../../kit/signing.ts";
import { show } from "../../kit/site.ts";
import { viewPending } from "../changes/pending-routes.ts";
import {
  POLICY_FIELDS,
  type PolicyDraft,
  type PolicyForm,
  policyFields,
  policyOf,
  shownOf,
} from "./policy-forms.ts";
import { POLICY, type PolicySection, policyPage } from "./policy-page.ts";

type Deps = SessionDeps & { config: { confirmAmountFromCents: number } };

const purposeOf = ({ account_id, shown }: Pick<PolicyForm, "account_id" | "shown">) =>
  `policy:${account_id}:${shown}`;

/** `/settings/policy` (docs/contract.md §7). Members see it; owners change it. */
export function policyRoutes(app: App, deps: Deps): void {
  personPage(app, deps, POLICY, ({ human, query, request }, reply) =>
    showPolicy(deps, reply, human, {
      said: query.said,
      ...takeFault<Record<string, PolicyDraft>>(deps, request, reply, human),
    }),
  );
  const form = personForm(app, deps, {
    fields: POLICY_FIELDS,
    purpose: ({ body }) => purposeOf(body),
    returnTo: () => POLICY,
  });
  form(`${POLICY}/sign`, async ({ human, body }, reply) => {
    const { accountId } = ownedBy(human, body.account_id);
    const change = await changeIn(deps, body);
    return answerSigning(deps, reply, human, change && policyAct(accountId, change));
  });
  form(POLICY, (asked, reply) => changeByForm(deps, asked, reply));
}

async function changeByForm(
  deps: Deps,
  { human, body, request }: Asked<None, typeof POLICY_FIELDS>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const account = ownedBy(human, body.account_id);
  const { accountId } = account;
  const { co_sign, typed_from, second_from, billing } = body;
  const complain = (fault: Fault) => {
    const draft: PolicyDraft = { co_sign, typed_from, second_from, billing };
    return leadToFault(deps, reply, human, POLICY, fault, { [accountId]: draft });
  };
  const from = await readPolicy(deps.db, accountId);
  if (shownOf(from) !== body.shown) return leadTo(deps, reply, human, POLICY, STALE);
  const to = policyOf(body, accountId, deps.config.confirmAmountFromCents);
  if ("field" in to) return complain(to);
  if (samePolicy(from, to)) return reply.redirect(`${POLICY}?said=same`, 303);
  const found = await findActing(deps, request, reply, human, accountId);
  if (found === undefined) return complain(absentFault(policyFields(accountId).password, body.password));
  try {
    const changed = await changePolicy(deps, found.acting, account, { from, to }, found.signature);
    setCookie(reply, changed.cookie);
    return reply.redirect(`${POLICY}?said=${changed.value === PENDING ? "second" : "changed"}`, 303);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.problem === "statement_stale") return leadTo(deps, reply, human, POLICY, STALE);
    const field = FIELDS[error.problem];
    if (field === undefined) throw error;
    return complain({ field: policyFields(accountId)[field], message: error.message });
  }
}

/** The field that a refusal is about. */
const FIELDS: Partial<Record<Problem["problem"], "coSign" | "secondFrom">> = {
  passkey_missing: "coSign",
  passkeys_unavailable: "coSign",
  second_decider_missing: "secondFrom",
};

/** The change that a form asks for; `undefined`: it is outdated, wrong, or no change. */
async function changeIn(deps: Deps, body: PolicyForm) {
  const from = await readPolicy(deps.db, body.account_id);
  const to = policyOf(body, body.account_id, deps.config.confirmAmountFromCents);
  if (shownOf(from) !== body.shown || "field" in to || samePolicy(from, to)) return undefined;
  return { from, to };
}

const STALE: Said = {
  message:
    "Nothing was changed. Someone else changed the policy after you opened this page. It’s shown below as it is now: check " +
    "it and choose again.",
};

type Around = { said: string | undefined; fault?: Fault; draft?: Record<string, PolicyDraft> };

async function showPolicy(
  deps: Deps,
  reply: FastifyReply,
  human: Human,
  around: Around,
): Promise<FastifyReply> {
  const sections = await Promise.all(
    human.memberships.map((account) => viewSection(deps, human, account, around.draft?.[account.accountId])),
  );
  const page = policyPage(await proverOf(deps, human), sections, around);
  return show(deps, reply, page, { human });
}

async function viewSection(
  deps: Deps,
  human: Human,
  account: Membership,
  draft: PolicyDraft | undefined,
): Promise<PolicySection> {
  const { db, keys, config } = deps;
  const { accountId, accountName, role } = account;
  const policy = await readPolicy(db, accountId);
  const members = (await listMembers(db, accountId)).filter(({ status }) => status === "active");
  const deciders = members.filter((member) => mayDecide(member.role));
  const passkeys = await Promise.all(deciders.map(({ userId }) => findPasskeys(db, userId ?? "")));
  const signs = await mustSign(db, human.userId, accountId);
  const changing = {
    formToken: formToken(keys, human, purposeOf({ account_id: accountId, shown: shownOf(policy) })),
    signs,
    lacksPasskey: !signs && (await isDemanded(db, human.userId, accountId)),
    draft,
  };
  return {
    accountId,
    accountName,
    policy,
    mostTypedCents: config.confirmAmountFromCents,
    pending: await viewPending(deps, human, account, "policy"),
    owners: members.filter((member) => may(member.role, "own")),
    deciders: { all: deciders.length, withPasskey: passkeys.filter((some) => some === "some").length },
    changing: may(role, "own") ? changing : undefined,
  };
}
