import { stringify } from "csv-stringify/sync";
import type { AuditEntry } from "../../../audit/schemas.ts";
import { listAudit } from "../../../audit/service.ts";
import type { App } from "../../../http/app.ts";
import { Problem } from "../../../lib/problems.ts";
import type { SessionDeps } from "../../../passkeys/session-deps.ts";
import type { Human } from "../../../sign-in/gate.ts";
import { managedBy, manages } from "../../kit/memberships.ts";
import { personPage } from "../../kit/person-routes.ts";
import { show } from "../../kit/site.ts";
import { ACTIVITY, activityPage } from "./activity-page.ts";
import { actionsOf } from "./activity-words.ts";

const PAGE = 50;
const CSV_PAGE = 200;
const CSV_AT_MOST = 10_000;

/** `/settings/activity` and its CSV, for owners and approvers (docs/contract.md §7). */
export function activityRoutes(app: App, deps: SessionDeps): void {
  personPage(app, deps, ACTIVITY, async ({ human, query }, reply) => {
    const { account, accounts, group, actions, cursor } = readQuery(human, query);
    const page = await listAudit(deps.db, account.accountId, { cursor, limit: PAGE, actions });
    return show(deps, reply, activityPage({ account, accounts, group, ...page }), { human });
  });

  personPage(app, deps, `${ACTIVITY}.csv`, async ({ human, query }, reply) => {
    const { account, actions } = readQuery(human, query);
    const entries: AuditEntry[] = [];
    let cursor: string | undefined;
    do {
      const page = await listAudit(deps.db, account.accountId, { cursor, limit: CSV_PAGE, actions });
      entries.push(...page.entries);
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined && entries.length < CSV_AT_MOST);
    return reply
      .header("content-disposition", 'attachment; filename="activity.csv"')
      .type("text/csv; charset=utf-8")
      .send(toCsv(entries));
  });
}

/**
 * Lenient: a query that cannot be read shows the newest entries of the first account.
 * @throws Problem not_permitted for a viewer in all accounts, not_found for an account of others
 */
function readQuery(human: Human, { account: wanted, group, cursor }: Record<string, string | undefined>) {
  const accounts = human.memberships.filter(manages);
  const [first] = accounts;
  if (first === undefined) throw new Problem("not_permitted");
  const account = wanted === undefined ? first : managedBy(human, wanted);
  const chosen = group === "" ? undefined : group;
  return { account, accounts, group: chosen, actions: actionsOf(chosen), cursor };
}

/** One line an entry. A cell that a spreadsheet would run as a formula is escaped. */
function toCsv(entries: readonly AuditEntry[]): string {
  const rows = entries.map(
    ({ at, action, actor, subject, before, after, detail, address, requestId, id }) => ({
      time: at,
      action,
      actor_kind: actor.kind,
      actor_name: actor.name,
      actor_id: actor.id,
      subject_kind: subject?.kind,
      subject_id: subject?.id,
      before: before && JSON.stringify(before),
      after: after && JSON.stringify(after),
      detail: JSON.stringify(detail),
      address,
      request_id: requestId,
      entry_id: id,
    }),
  );
  return stringify(rows, { header: true, escape_formulas: true, record_delimiter: "windows" });
}
