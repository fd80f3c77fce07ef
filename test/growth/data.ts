import pg from "pg";
import { TOKEN_PREFIX } from "../../src/accounts/gate.ts";
import { accountKey } from "../../src/lib/ids.ts";
import { SCOPES } from "../../src/lib/scopes.ts";
import { keyIdOf } from "../../src/lib/sealed.ts";
import { newSecret } from "../../src/lib/secrets.ts";
import { SECRETS_KEY } from "../support/service.ts";

/** The operator's id of the account that holds half of everything. */
export const WHALE = "whale";
export const WHALE_ID = accountKey(WHALE);
/** Approvals of the whale that wait for a person: far fewer than one account may have. */
const PENDING = 30;

/** Rows `i` belong to the whale where `i` is even, else to one of the others. Contract `k` has the milestones `k + contracts × n`. */
const ACCOUNT = "case when i % 2 = 0 then $whale::uuid else md5('account-' || (i / 2) % $others)::uuid end";
/** A UUIDv7 as of `$2`, of row `$1`. */
const FUNCTIONS = `
  create function pg_temp.id(kind text, i bigint, at timestamptz) returns uuid language sql immutable as $$
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(kind || i), 1, 3)
      || '8' || substr(md5(kind || i), 4, 15))::uuid $$;
  create function pg_temp.at(i bigint, n bigint) returns timestamptz language sql stable as $$
    select date_trunc('milliseconds', now() - interval '200 days' * (n - i)::float8 / n
      - case when i < 4 then interval '400 days' else interval '5 days' end) $$;
  create function pg_temp.digest(name text) returns bytea language sql immutable as $$ select sha256(name::bytea) $$;`;

/**
 * What a service has after years, by `insert … select from generate_series`: each large table has `$n` rows or a part of
 * them, `i` from 0 on. Half of every table is the whale's.
 */
const STATEMENTS = [
  `insert into accounts (account_id, id, name, claimed_at, features, acts_mailed_at, created_at, updated_at)
   select account_id, id, 'Acme', now(), '{"public_api_payments_write": true, "public_api_webhooks": true, "public_api_credits": true}',
     now() - interval '1 day', now(), now()
   from (select $whale::uuid as account_id, '${WHALE}' as id
     union all select md5('account-' || i)::uuid, 'account-' || i from generate_series(0, $others - 1) i) a`,
  `insert into tokens (account_id, id, name, digest, preview, scopes, created_at, revoked_at)
   select ACCOUNT, pg_temp.id('token', i, pg_temp.at(i, $n / 10)), 'Agent ' || i, pg_temp.digest('token-' || i), 'preview',
     '{payments:read}', pg_temp.at(i, $n / 10), case when i < 4 then now() - interval '40 days' when i < $n / 10 - 20 then now() - interval '10 days' end
   from generate_series(0, $n / 10 - 1) i`,
  `insert into idempotency_keys (account_id, token_id, key, request_digest, attempt, claimed_at, answer)
   select ACCOUNT, md5('t')::uuid, 'key-' || i, pg_temp.digest('key'), md5('attempt')::uuid, now() - case when i < 4 then interval '2 days' else interval '1 hour' end, '{}'
   from generate_series(0, $n / 10 - 1) i`,
  `insert into auth.users (id, name, email, created_at)
   select 'user-' || i, 'Person ' || i, 'person-' || i || '@example.com', now() from generate_series(0, $n / 10 - 1) i`,
  `insert into auth.sessions (id, token_digest, user_id, started_at, seen_at, proved_at)
   select 'session-' || i, pg_temp.digest('session-' || i), 'user-' || i, now(), now() - case when i < 4 then interval '2 days' else interval '0' end, now()
   from generate_series(0, $n / 10 - 1) i`,
  `insert into auth.resets (id, email, requested_at, user_id, digest, expires_at)
   select md5('reset-' || i)::uuid, 'person-' || i || '@example.com', now() - interval '1 minute', 'user-' || i,
     pg_temp.digest('reset-' || i), now() + case when i < 4 then interval '-2 days' else interval '1 hour' end from generate_series(0, $n / 10 - 1) i`,
  `insert into members (account_id, id, email, name, role, status, user_id, created_at, updated_at)
   select ACCOUNT, pg_temp.id('member', i, pg_temp.at(i, $n / 10)), 'person-' || i || '@example.com', 'Person ' || i, 'viewer',
     case when i < 40 or i % 10 = 1 then 'active' else 'removed' end, 'user-' || i, pg_temp.at(i, $n / 10), now()
   from generate_series(0, $n / 10 - 1) i`,
  `insert into invitations (account_id, id, member_id, digest, created_at, expires_at, used_at)
   select ACCOUNT, pg_temp.id('invitation', i, now()), pg_temp.id('member', i, pg_temp.at(i, $n / 10)),
     pg_temp.digest('invitation-' || i), now() - interval '60 days',
     now() - case when i < 4 then interval '49 days' else interval '8 days' end, null
   from generate_series(0, $n / 10 - 1) i`,
  `insert into contracts (account_id, id, title, job_id, payment_type, status, freelancer_user_id, freelancer_name,
     payout_account, created_at, updated_at)
   select ACCOUNT, 'c-' || i, 'Street scenes', 'job-' || i, 'FIXED_PRICE', 'active', 'freelancer-' || i / 10, 'Maria G.',
     'acct_1', pg_temp.at(i, $contracts), now()
   from generate_series(0, $contracts - 1) i`,
  `insert into milestones (account_id, id, contract_id, number, description, amount_cents, status, created_at, updated_at)
   select ACCOUNT, 'm-' || i, 'c-' || i % $contracts, i / $contracts + 1, 'Label 5,000 street scenes', 45000,
     case when i >= $n - 1000 then 'NOT_FUNDED' when i % 3 = 0 then 'ACTIVE_FUNDED' else 'PAID' end, pg_temp.at(i, $n), now()
   from generate_series(0, $n - 1) i`,
  `insert into payment_methods (account_id, id, brand, last4, exp_month, exp_year, is_default, created_at)
   select account_id, 'pm_' || id, 'visa', '4242', 12, 2040, true, now() from accounts`,
  // The newest of the whale's wait, some longer than they may; of all others a quarter was declined or has expired.
  `insert into approvals (account_id, id, type, status, contract_id, milestone_id, job_id, terms, terms_digest, co_sign,
     token_id, token_name, token_preview, root_token_id, notify_at, announced_at, result, created_at, expires_at, resolved_at)
   select account_id, id, 'milestone_fund', status, contract_id, milestone_id, job_id, terms, pg_temp.digest('terms'), 'session',
     md5('t')::uuid, 'Purchasing agent', 'preview', md5('t')::uuid,
     case when status = 'pending' then now() end, case when status <> 'pending' then now() end,
     case status when 'confirmed' then '{}'::jsonb end, made,
     made + case when status = 'pending' then interval '300 days' else interval '72 hours' end,
     case when status <> 'pending' then made + interval '1 hour' end
   from (
     select ACCOUNT as account_id, pg_temp.id('approval', i, pg_temp.at(i, $n)) as id, 'c-' || i % $contracts as contract_id,
       'm-' || i as milestone_id, 'job-' || i % $contracts as job_id, pg_temp.at(i, $n) as made,
       case when i >= $n - 2 * ${PENDING} then 'pending' when i % 8 < 2 then 'declined' when i % 8 < 4 then 'expired' else 'confirmed' end
         as status,
       jsonb_build_object('milestoneId', 'm-' || i, 'contractId', 'c-' || i % $contracts, 'jobId', 'job-' || i % $contracts,
         'amountCents', 45000, 'currency', 'usd', 'description', 'Label 5,000 street scenes',
         'payee', jsonb_build_object('userId', 'freelancer-1', 'displayName', 'Maria G.', 'payoutAccount', null)) as terms
     from generate_series(0, $n - 1) i
   ) a`,
  `insert into signatures (account_id, approval_id, statement_digest, user_id, decision, statement, proof, created_at)
   select account_id, id, terms_digest, 'user-1', case status when 'confirmed' then 'confirm' else 'decline' end, '{}', '{}', created_at
   from approvals where status in ('confirmed', 'declined')`,
  `insert into payments (account_id, id, kind, approval_id, milestone_id, card_id, amount_cents, currency, key_number, body,
     status, intent_id, created_at, updated_at, resolved_at)
   select account_id, pg_temp.id('payment', row_number() over (), created_at), 'charge', id, milestone_id, 'pm_' || account_id,
     45000, 'usd', 0, '{}', 'succeeded', 'pi_' || id, created_at, created_at, created_at
   from approvals where status = 'confirmed'`,
  `insert into payments (account_id, id, kind, approval_id, milestone_id, source_payment_id, amount_cents, currency, key_number,
     body, status, sent_id, created_at, updated_at, resolved_at)
   select account_id, pg_temp.id('payout', row_number() over (), created_at), 'payout', id, milestone_id, id,
     45000, 'usd', 0, '{}', 'succeeded', 'tr_' || id, created_at, created_at, created_at
   from payments`,
  `insert into payment_signatures (account_id, payment_id, milestone_id, approval_id, statement_digest, user_id)
   select account_id, id, milestone_id, approval_id, pg_temp.digest('terms'), 'user-1' from payments where kind = 'charge'`,
  `insert into invoices (account_id, id, number, kind, approval_id, payment_id, contract_id, milestone_id, amount_cents,
     currency, status, created_at)
   select p.account_id, p.id, row_number() over (partition by p.account_id order by p.created_at), 'FUNDING', p.approval_id, p.id,
     v.contract_id, p.milestone_id, 45000, 'usd', 'paid', p.created_at
   from payments p join approvals v on v.account_id = p.account_id and v.id = p.approval_id where p.kind = 'charge'`,
  `insert into refunds (account_id, approval_id, milestone_id, sent_to, refund_id, amount_cents, created_at)
   select account_id, id, milestone_id, 'card', 're_' || id, 45000, created_at from approvals
   where status = 'expired' and hashtext(milestone_id) % 2 = 0`,
  `insert into reversals (account_id, id, payment_id, kind, status, amount_cents, currency, taken_cents, final, observed_at,
     created_at, updated_at)
   select account_id, 'dp_' || id, id, 'dispute', 'won', 45000, 'usd', 0, true, created_at, created_at, created_at
   from payments where kind = 'charge' and hashtext(milestone_id) % 10 = 0`,
  `insert into ledger_entries (account_id, transaction_id, line, ledger_account, amount_cents, currency, payment_id, created_at)
   select account_id, id, line, case line when 1 then 'processor' else 'milestone:' || milestone_id end,
     case line when 1 then 45000 else -45000 end, 'usd', id, created_at
   from payments, generate_series(1, 2) line where kind = 'charge'`,
  `insert into top_ups (account_id, id, amount_cents, currency, status, asked_by, processor, session_id, intent_id,
     created_at, expires_at, completed_at)
   select ACCOUNT, pg_temp.id('top-up', i, pg_temp.at(i, $n / 10)), 10000, 'usd', 'COMPLETED', '{}', 'sandbox', 'cs_' || i,
     'pi_t' || i, pg_temp.at(i, $n / 10), pg_temp.at(i, $n / 10) + interval '1 day', pg_temp.at(i, $n / 10)
   from generate_series(0, $n / 10 - 1) i`,
  `insert into reversals (account_id, id, top_up_id, kind, status, amount_cents, currency, taken_cents, final, observed_at,
     created_at, updated_at)
   select account_id, 'dp_' || id, id, 'dispute', 'won', 10000, 'usd', 0, true, created_at, created_at, created_at from top_ups`,
  `insert into credit_entries (account_id, id, number, type, amount_cents, reserved_cents, top_up_id, created_at)
   select account_id, id, row_number() over (partition by account_id order by created_at), 'TOP_UP', 10000, 0, id, created_at
   from top_ups`,
  `insert into credit_balances (account_id, available_cents, reserved_cents, last_entry)
   select account_id, sum(amount_cents), 0, max(number) from credit_entries group by account_id`,
  `insert into events (account_id, number, type, resource_id, job_id, data, created_at)
   select account_id, row_number() over (partition by account_id order by i), 'approval.confirmed', 'r-' || i, 'job-1',
     '{"approvalId": "a", "status": "confirmed"}', pg_temp.at(i, $n)
   from (select i, ACCOUNT as account_id from generate_series(0, $n - 1) i) e`,
  `insert into account_heads (account_id, last_event, last_invoice)
   select a.account_id, coalesce((select max(number) from events e where e.account_id = a.account_id), 0),
     coalesce((select max(number) from invoices v where v.account_id = a.account_id), 0)
   from accounts a`,
  `insert into operator_events (number, account, type, resource_id, job_id, data, created_at)
   select i + 1, 'account-1', 'approval.confirmed', 'r-' || i, 'job-1', '{}', pg_temp.at(i, $n) from generate_series(0, $n - 1) i`,
  `update operator_head set last_event = $n`,
  `insert into audit_entries (account_id, id, at, action, actor_kind, actor_id, detail)
   select ACCOUNT, pg_temp.id('entry', i, pg_temp.at(i, $n)), pg_temp.at(i, $n),
     case when i < 400 then 'card_added' else 'approval_confirmed' end, 'person', 'user-1', '{}'
   from generate_series(0, $n - 1) i`,
  `insert into webhooks (account_id, id, url, origin, event_types, user_id, maker_name, secret, secret_key_id, created_at)
   select account_id, account_id, 'https://example.com/hook', 'https://example.com', '{approval.confirmed}', 'user-1', 'Ada',
     'secret', $key, now() from accounts`,
  `insert into webhook_deliveries (account_id, id, webhook_id, event_number, event_type, body, status, attempts, created_at, resolved_at)
   select account_id, pg_temp.id('delivery', number, created_at), account_id, number, type, '{}', 'DELIVERED', 1,
     now() - case when account_id = $whale and number < 4 then interval '40 days' else interval '5 days' end, now() from events`,
  `insert into mails (id, recipient, subject, body, urgent, created_at, due_at, give_up_at, attempts, sent_at)
   select md5('mail-' || i)::uuid, 'person@example.com', 'Hello', 'Hello', false, now(), now(), now(), 1, now() - case when i < 4 then interval '9 days' else interval '0' end
   from generate_series(0, $n - 1) i`,
  `insert into processor_events (id, type, received_at, attempts, handled_at)
   select 'evt_' || i, 'payment_intent.succeeded', now(), 1, now() - case when i < 4 then interval '40 days' else interval '0' end from generate_series(0, $n / 10 - 1) i`,
];

/**
 * Fills an empty, migrated database. Constraints between rows and triggers are not asked, so that a million rows take a minute.
 * @param url as a superuser
 * @param n rows of each of the large tables, a multiple of 20 and at least 2,000
 * @returns the whale's token, and how many rows there are
 */
export async function growDatabase(url: string, n: number): Promise<{ token: string; rows: number }> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query("set session_replication_role = replica");
    await client.query(FUNCTIONS);
    let rows = 0;
    for (const statement of STATEMENTS) {
      const text = statement
        .replaceAll("ACCOUNT", ACCOUNT)
        .replaceAll("$whale", `'${WHALE_ID}'`)
        .replaceAll("$others", String(Math.max(n / 100, 20)))
        .replaceAll("$contracts", String(n / 10))
        .replaceAll("$key", `'${keyIdOf(SECRETS_KEY)}'`)
        .replaceAll("$n", String(n));
      rows += (await client.query(text)).rowCount ?? 0;
    }
    const { value, digest, preview } = newSecret(TOKEN_PREFIX, WHALE_ID);
    await client.query(
      `insert into tokens (account_id, id, name, digest, preview, scopes, created_at)
       values ($1, md5('t')::uuid, 'Purchasing agent', $2, $3, $4, now())`,
      [WHALE_ID, digest, preview, [...SCOPES]],
    );
    await client.query("set session_replication_role = origin");
    await client.query("vacuum (analyze)");
    return { token: value, rows };
  } finally {
    await client.end();
  }
}
