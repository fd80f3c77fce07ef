-- Generated from `migrations/` by `npm run docs`, to be read: the migrations create the database.

CREATE OR REPLACE FUNCTION public.server_run()
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
    select extract(epoch from pg_postmaster_start_time()) || '/' || oid from pg_database where datname = current_database()
  $function$;

CREATE OR REPLACE FUNCTION public.server_run_at(account_id uuid)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE
AS $function$
    begin
      return server_run();
    end $function$;

CREATE OR REPLACE FUNCTION public.note_server_run()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
    begin
      new.run := server_run();
      return new;
    end $function$;

CREATE OR REPLACE FUNCTION public.refuse_change()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
    begin
      raise exception '% rows are never changed', tg_table_name using errcode = 'restrict_violation';
    end $function$;

create table accounts (
  account_id uuid not null,
  id text not null,
  name text not null,
  claimed_at timestamp with time zone,
  features jsonb default '{}'::jsonb not null,
  billing text default 'card'::text not null,
  co_sign text default 'session'::text not null,
  second_signer_from_cents bigint,
  amount_typed_from_cents bigint,
  acts_mailed_at timestamp with time zone,
  frozen boolean default false not null,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  constraint accounts_pkey PRIMARY KEY (account_id),
  constraint accounts_amount_typed_from_cents_check CHECK (amount_typed_from_cents >= 0),
  constraint accounts_billing_check CHECK (billing = ANY (ARRAY['card'::text, 'credits_first'::text])),
  constraint accounts_co_sign_check CHECK (co_sign = ANY (ARRAY['session'::text, 'passkey'::text])),
  constraint accounts_features_check CHECK (jsonb_typeof(features) = 'object'::text),
  constraint accounts_id_check CHECK (id ~ '^[A-Za-z0-9._-]{1,64}$'::text),
  constraint accounts_name_check CHECK (char_length(name) >= 1 AND char_length(name) <= 200),
  constraint accounts_second_signer_from_cents_check CHECK (second_signer_from_cents > 0)
);

CREATE INDEX accounts_newest ON accounts USING btree (created_at DESC, account_id DESC);

create table account_heads (
  account_id uuid not null,
  first_event bigint default 1 not null,
  last_event bigint default 0 not null,
  last_invoice bigint default 0 not null,
  chain_index bigint default 0 not null,
  chain_digest bytea default decode(repeat('00'::text, 32), 'hex'::text) not null,
  chain_floor bigint default 0 not null,
  run text default server_run() not null,
  constraint account_heads_pkey PRIMARY KEY (account_id),
  constraint account_heads_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint account_heads_chain_digest_check CHECK (octet_length(chain_digest) = 32),
  constraint account_heads_chain_floor_check CHECK (chain_floor >= 0),
  constraint account_heads_chain_index_check CHECK (chain_index >= 0),
  constraint account_heads_check CHECK (last_event >= (first_event - 1)),
  constraint account_heads_first_event_check CHECK (first_event >= 1),
  constraint account_heads_last_invoice_check CHECK (last_invoice >= 0)
);

CREATE TRIGGER account_heads_run BEFORE INSERT ON account_heads FOR EACH ROW WHEN (new.run <> ''::text) EXECUTE FUNCTION note_server_run();

CREATE TRIGGER account_heads_chain BEFORE UPDATE ON account_heads FOR EACH ROW WHEN ((old.chain_index IS DISTINCT FROM new.chain_index OR old.chain_digest IS DISTINCT FROM new.chain_digest) AND new.chain_index <> (GREATEST(old.chain_index, old.chain_floor) + 1)) EXECUTE FUNCTION refuse_change();

CREATE TRIGGER account_heads_kept BEFORE DELETE ON account_heads FOR EACH ROW WHEN (old.chain_index > 0) EXECUTE FUNCTION refuse_change();

CREATE TRIGGER account_heads_emptied BEFORE TRUNCATE ON account_heads FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

create table tokens (
  account_id uuid not null,
  id uuid not null,
  name text not null,
  digest bytea not null,
  preview text not null,
  scopes text[] not null,
  minted_by uuid,
  root_id uuid,
  minted_by_user text,
  maker_kind text default 'operator'::text not null,
  maker_name text,
  secretless boolean default false not null,
  created_at timestamp with time zone not null,
  last_used_at timestamp with time zone,
  expires_at timestamp with time zone,
  revoked_at timestamp with time zone,
  constraint tokens_pkey PRIMARY KEY (account_id, id),
  constraint tokens_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint tokens_account_id_minted_by_fkey FOREIGN KEY (account_id, minted_by) REFERENCES tokens(account_id, id),
  constraint tokens_check CHECK (expires_at > created_at),
  constraint tokens_check1 CHECK ((maker_kind = 'person'::text) = (maker_name IS NOT NULL)),
  constraint tokens_digest_check CHECK (octet_length(digest) = 32),
  constraint tokens_maker_kind_check CHECK (maker_kind = ANY (ARRAY['operator'::text, 'person'::text, 'agent'::text, 'member'::text])),
  constraint tokens_minter CHECK (minted_by IS NULL OR minted_by_user IS NULL),
  constraint tokens_name_check CHECK (char_length(name) >= 1 AND char_length(name) <= 200),
  constraint tokens_root CHECK (root_id IS NULL OR minted_by IS NOT NULL)
);

CREATE UNIQUE INDEX tokens_digest ON tokens USING btree (account_id, digest);

CREATE UNIQUE INDEX tokens_secretless ON tokens USING btree (account_id, COALESCE(minted_by_user, ''::text)) WHERE secretless AND revoked_at IS NULL;

CREATE INDEX tokens_minted_by ON tokens USING btree (account_id, minted_by) WHERE minted_by IS NOT NULL;

CREATE INDEX tokens_ended ON tokens USING btree (LEAST(revoked_at, expires_at));

CREATE INDEX tokens_ended_of_account ON tokens USING btree (account_id, LEAST(revoked_at, expires_at) DESC, id DESC);

CREATE INDEX tokens_live ON tokens USING btree (account_id) WHERE revoked_at IS NULL;

create table token_acts (
  account_id uuid not null,
  id uuid not null,
  line text not null,
  created_at timestamp with time zone not null,
  constraint token_acts_pkey PRIMARY KEY (account_id, id),
  constraint token_acts_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id)
);

create table idempotency_keys (
  account_id uuid not null,
  token_id uuid not null,
  key text not null,
  request_digest bytea not null,
  attempt uuid not null,
  claimed_at timestamp with time zone not null,
  answer jsonb,
  constraint idempotency_keys_pkey PRIMARY KEY (account_id, token_id, key),
  constraint idempotency_keys_account_id_token_id_fkey FOREIGN KEY (account_id, token_id) REFERENCES tokens(account_id, id),
  constraint idempotency_keys_key_check CHECK (char_length(key) >= 1 AND char_length(key) <= 255),
  constraint idempotency_keys_request_digest_check CHECK (octet_length(request_digest) = 32)
);

CREATE INDEX idempotency_keys_oldest ON idempotency_keys USING btree (claimed_at, account_id);

create unlogged table rate_windows (
  bucket text not null,
  window_start timestamp with time zone not null,
  hits integer not null,
  constraint rate_windows_pkey PRIMARY KEY (bucket, window_start)
);

create unlogged table known_credentials (
  digest bytea not null,
  accepted_at timestamp with time zone not null,
  constraint known_credentials_pkey PRIMARY KEY (digest),
  constraint known_credentials_digest_check CHECK (octet_length(digest) = 32)
);

CREATE INDEX known_credentials_accepted ON known_credentials USING btree (accepted_at);

create schema auth;

create table auth.users (
  id text not null,
  name text not null,
  email text not null,
  created_at timestamp with time zone default now() not null,
  password_unverified_since timestamp with time zone,
  signed_in_at timestamp with time zone,
  constraint users_pkey PRIMARY KEY (id),
  constraint users_email_key UNIQUE (email),
  constraint users_email_check CHECK (email = lower(email))
);

create table auth.passwords (
  user_id text not null,
  hash text not null,
  changed_at timestamp with time zone not null,
  constraint passwords_pkey PRIMARY KEY (user_id),
  constraint passwords_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint passwords_hash_check CHECK (hash ~~ '$argon2id$%'::text)
);

create table auth.sessions (
  id text not null,
  token_digest bytea not null,
  previous_digest bytea,
  replaced_at timestamp with time zone,
  user_id text not null,
  address text,
  user_agent text,
  zone text,
  started_at timestamp with time zone not null,
  seen_at timestamp with time zone not null,
  proved_at timestamp with time zone not null,
  trusted boolean default false not null,
  constraint sessions_pkey PRIMARY KEY (id),
  constraint sessions_previous_digest_key UNIQUE (previous_digest),
  constraint sessions_token_digest_key UNIQUE (token_digest),
  constraint sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint sessions_check CHECK ((previous_digest IS NULL) = (replaced_at IS NULL)),
  constraint sessions_previous_digest_check CHECK (octet_length(previous_digest) = 32),
  constraint sessions_token_digest_check CHECK (octet_length(token_digest) = 32)
);

CREATE INDEX sessions_of_user ON auth.sessions USING btree (user_id);

CREATE INDEX sessions_oldest ON auth.sessions USING btree (started_at);

CREATE INDEX sessions_idle ON auth.sessions USING btree (seen_at);

CREATE OR REPLACE FUNCTION auth.note_sign_in()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
    begin
      update auth.users set signed_in_at = new.started_at where id = new.user_id;
      return null;
    end $function$;

CREATE TRIGGER sessions_noted AFTER INSERT ON auth.sessions FOR EACH ROW EXECUTE FUNCTION auth.note_sign_in();

create table auth.resets (
  id uuid not null,
  email text not null,
  requested_at timestamp with time zone not null,
  user_id text,
  digest bytea,
  expires_at timestamp with time zone,
  used_at timestamp with time zone,
  address text,
  request_id text,
  constraint resets_pkey PRIMARY KEY (id),
  constraint resets_digest_key UNIQUE (digest),
  constraint resets_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint resets_check CHECK ((user_id IS NULL) = (digest IS NULL) AND (user_id IS NULL) = (expires_at IS NULL)),
  constraint resets_digest_check CHECK (octet_length(digest) = 32),
  constraint resets_email_check CHECK (char_length(email) <= 254)
);

CREATE INDEX resets_requested ON auth.resets USING btree (requested_at);

CREATE INDEX resets_expired ON auth.resets USING btree (expires_at);

CREATE INDEX resets_of_user ON auth.resets USING btree (user_id, requested_at);

create table auth.attempts (
  key character varying(255) not null,
  points integer default 0 not null,
  expire bigint,
  constraint attempts_pkey PRIMARY KEY (key)
);

CREATE INDEX attempts_expire ON auth.attempts USING btree (expire);

create table mails (
  id uuid not null,
  recipient text not null,
  subject text not null,
  body text,
  urgent boolean not null,
  created_at timestamp with time zone not null,
  due_at timestamp with time zone not null,
  give_up_at timestamp with time zone not null,
  attempts integer default 0 not null,
  leased_until timestamp with time zone,
  sent_at timestamp with time zone,
  failed_at timestamp with time zone,
  constraint mails_pkey PRIMARY KEY (id),
  constraint mails_check CHECK (sent_at IS NULL OR failed_at IS NULL),
  constraint mails_recipient_check CHECK (char_length(recipient) <= 254)
);

CREATE INDEX mails_due ON mails USING btree (urgent DESC, due_at) WHERE sent_at IS NULL AND failed_at IS NULL;

CREATE INDEX mails_ended ON mails USING btree (LEAST(sent_at, failed_at));

create table auth.passkeys (
  id uuid not null,
  user_id text not null,
  name text not null,
  credential_id bytea not null,
  public_key bytea not null,
  counter bigint not null,
  transports text[] default '{}'::text[] not null,
  device_type text not null,
  backed_up boolean not null,
  aaguid uuid,
  created_at timestamp with time zone not null,
  last_used_at timestamp with time zone,
  active_from timestamp with time zone,
  possible_copy_at timestamp with time zone,
  constraint passkeys_pkey PRIMARY KEY (id),
  constraint passkeys_credential_id_key UNIQUE (credential_id),
  constraint passkeys_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint passkeys_counter_check CHECK (counter >= 0 AND counter <= '4294967295'::bigint),
  constraint passkeys_credential_id_check CHECK (octet_length(credential_id) >= 1 AND octet_length(credential_id) <= 1023),
  constraint passkeys_device_type_check CHECK (device_type = ANY (ARRAY['singleDevice'::text, 'multiDevice'::text])),
  constraint passkeys_name_check CHECK (char_length(name) >= 1 AND char_length(name) <= 100),
  constraint passkeys_public_key_check CHECK (octet_length(public_key) >= 1 AND octet_length(public_key) <= 8192)
);

CREATE INDEX passkeys_of_user ON auth.passkeys USING btree (user_id);

CREATE INDEX passkeys_inactive ON auth.passkeys USING btree (user_id) WHERE active_from IS NULL;

create table auth.passkey_consents (
  account_id uuid not null,
  passkey_id uuid not null,
  consented_by text not null,
  consented_at timestamp with time zone not null,
  constraint passkey_consents_pkey PRIMARY KEY (account_id, passkey_id),
  constraint passkey_consents_passkey_id_fkey FOREIGN KEY (passkey_id) REFERENCES auth.passkeys(id) ON DELETE CASCADE
);

CREATE INDEX passkey_consents_of_passkey ON auth.passkey_consents USING btree (passkey_id);

create table auth.answered_challenges (
  digest bytea not null,
  expires_at timestamp with time zone not null,
  constraint answered_challenges_pkey PRIMARY KEY (digest),
  constraint answered_challenges_digest_check CHECK (octet_length(digest) = 32)
);

CREATE INDEX answered_challenges_oldest ON auth.answered_challenges USING btree (expires_at);

create table members (
  account_id uuid not null,
  id uuid not null,
  email text not null,
  name text not null,
  role text not null,
  status text not null,
  user_id text,
  mailed_at timestamp with time zone,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  constraint members_pkey PRIMARY KEY (account_id, id),
  constraint members_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint members_check CHECK (status <> 'active'::text OR user_id IS NOT NULL),
  constraint members_email_check CHECK (email = lower(email) AND char_length(email) >= 3 AND char_length(email) <= 254),
  constraint members_name_check CHECK (char_length(name) >= 1 AND char_length(name) <= 200),
  constraint members_role_check CHECK (role = ANY (ARRAY['owner'::text, 'approver'::text, 'viewer'::text])),
  constraint members_status_check CHECK (status = ANY (ARRAY['invited'::text, 'active'::text, 'removed'::text]))
);

CREATE UNIQUE INDEX members_email ON members USING btree (account_id, email) WHERE status <> 'removed'::text;

CREATE UNIQUE INDEX members_user ON members USING btree (account_id, user_id) WHERE status <> 'removed'::text;

CREATE INDEX members_present ON members USING btree (account_id, id) WHERE status <> 'removed'::text;

CREATE INDEX members_of_user ON members USING btree (user_id) WHERE status = 'active'::text;

CREATE INDEX members_active ON members USING btree (account_id, role) WHERE status = 'active'::text;

CREATE INDEX members_ever ON members USING btree (account_id, user_id, created_at DESC);

CREATE OR REPLACE FUNCTION public.refuse_last_owner()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
    begin
      perform from accounts where account_id = old.account_id for no key update;
      if not exists (
        select from members
        where account_id = old.account_id and id <> old.id and status = 'active' and role = 'owner'
      ) then
        raise exception 'an account keeps an owner' using errcode = 'restrict_violation';
      end if;
      return new;
    end $function$;

CREATE TRIGGER members_keep_owner BEFORE UPDATE ON members FOR EACH ROW WHEN (old.status = 'active'::text AND old.role = 'owner'::text AND (new.status <> 'active'::text OR new.role <> 'owner'::text)) EXECUTE FUNCTION refuse_last_owner();

create table invitations (
  account_id uuid not null,
  id uuid not null,
  member_id uuid not null,
  digest bytea not null,
  created_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  used_at timestamp with time zone,
  consented_at timestamp with time zone,
  consented_by text,
  constraint invitations_pkey PRIMARY KEY (account_id, id),
  constraint invitations_account_id_member_id_fkey FOREIGN KEY (account_id, member_id) REFERENCES members(account_id, id),
  constraint invitations_check CHECK (expires_at > created_at),
  constraint invitations_consent CHECK ((consented_at IS NULL) = (consented_by IS NULL)),
  constraint invitations_digest_check CHECK (octet_length(digest) = 32)
);

CREATE UNIQUE INDEX invitations_digest ON invitations USING btree (account_id, digest);

CREATE UNIQUE INDEX invitations_open ON invitations USING btree (account_id, member_id) WHERE used_at IS NULL;

CREATE INDEX invitations_ended ON invitations USING btree (LEAST(used_at, expires_at));

create table member_upgrades (
  account_id uuid not null,
  id uuid not null,
  member_id uuid not null,
  role text not null,
  asked_at timestamp with time zone not null,
  effective_at timestamp with time zone,
  mailed_at timestamp with time zone not null,
  ended_at timestamp with time zone,
  outcome text,
  constraint member_upgrades_pkey PRIMARY KEY (account_id, id),
  constraint member_upgrades_account_id_member_id_fkey FOREIGN KEY (account_id, member_id) REFERENCES members(account_id, id),
  constraint member_upgrades_check CHECK (effective_at > asked_at),
  constraint member_upgrades_check1 CHECK ((ended_at IS NULL) = (outcome IS NULL)),
  constraint member_upgrades_outcome_check CHECK (outcome = ANY (ARRAY['consented'::text, 'refused'::text, 'objected'::text, 'owner_signed_in'::text, 'effective'::text, 'withdrawn'::text])),
  constraint member_upgrades_role_check CHECK (role = ANY (ARRAY['owner'::text, 'approver'::text]))
);

CREATE UNIQUE INDEX member_upgrades_open ON member_upgrades USING btree (account_id, member_id) WHERE ended_at IS NULL;

CREATE INDEX member_upgrades_timed ON member_upgrades USING btree (mailed_at) WHERE ended_at IS NULL AND effective_at IS NOT NULL;

CREATE TRIGGER member_upgrades_ended BEFORE DELETE OR UPDATE ON member_upgrades FOR EACH ROW WHEN (old.ended_at IS NOT NULL) EXECUTE FUNCTION refuse_change();

create table pending_changes (
  account_id uuid not null,
  id uuid not null,
  action text not null,
  subject text not null,
  terms jsonb not null,
  request jsonb not null,
  asked_by text not null,
  asked_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  ended_at timestamp with time zone,
  ended_by text,
  outcome text,
  constraint pending_changes_pkey PRIMARY KEY (account_id, id),
  constraint pending_changes_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint pending_changes_action_check CHECK (action = ANY (ARRAY['member'::text, 'policy'::text])),
  constraint pending_changes_check CHECK (expires_at > asked_at),
  constraint pending_changes_check1 CHECK ((ended_at IS NULL) = (outcome IS NULL)),
  constraint pending_changes_check2 CHECK ((ended_at IS NULL) = (ended_by IS NULL)),
  constraint pending_changes_check3 CHECK (outcome <> 'agreed'::text OR ended_by <> asked_by),
  constraint pending_changes_outcome_check CHECK (outcome = ANY (ARRAY['agreed'::text, 'refused'::text, 'withdrawn'::text, 'replaced'::text]))
);

CREATE UNIQUE INDEX pending_changes_open ON pending_changes USING btree (account_id, subject) WHERE ended_at IS NULL;

CREATE TRIGGER pending_changes_ended BEFORE DELETE OR UPDATE ON pending_changes FOR EACH ROW WHEN (old.ended_at IS NOT NULL) EXECUTE FUNCTION refuse_change();

CREATE TRIGGER pending_changes_asked BEFORE UPDATE ON pending_changes FOR EACH ROW WHEN (old.account_id IS DISTINCT FROM new.account_id OR old.id IS DISTINCT FROM new.id OR old.action IS DISTINCT FROM new.action OR old.subject IS DISTINCT FROM new.subject OR old.terms IS DISTINCT FROM new.terms OR old.request IS DISTINCT FROM new.request OR old.asked_by IS DISTINCT FROM new.asked_by OR old.asked_at IS DISTINCT FROM new.asked_at OR old.expires_at IS DISTINCT FROM new.expires_at) EXECUTE FUNCTION refuse_change();

create table contracts (
  account_id uuid not null,
  id text not null,
  title text not null,
  job_id text not null,
  proposal_id text,
  payment_type text not null,
  rate_cents bigint,
  status text not null,
  freelancer_user_id text not null,
  freelancer_name text not null,
  freelancer_country text,
  freelancer_profile_path text,
  payout_account text,
  revision integer default 1 not null,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  ended_at timestamp with time zone,
  constraint contracts_pkey PRIMARY KEY (account_id, id),
  constraint contracts_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint contracts_check CHECK ((status = 'ended'::text) = (ended_at IS NOT NULL)),
  constraint contracts_check1 CHECK (updated_at >= created_at AND ended_at >= created_at),
  constraint contracts_id_check CHECK (id ~ '^[A-Za-z0-9._-]{1,64}$'::text),
  constraint contracts_job_id_check CHECK (job_id ~ '^[A-Za-z0-9._-]{1,64}$'::text),
  constraint contracts_payment_type_check CHECK (payment_type = ANY (ARRAY['FIXED_PRICE'::text, 'PAY_PER_HOUR'::text, 'PAY_PER_LABEL'::text])),
  constraint contracts_proposal_id_check CHECK (proposal_id ~ '^[A-Za-z0-9._-]{1,64}$'::text),
  constraint contracts_rate_cents_check CHECK (rate_cents > 0),
  constraint contracts_status_check CHECK (status = ANY (ARRAY['active'::text, 'ended'::text])),
  constraint contracts_title_check CHECK (char_length(title) >= 1 AND char_length(title) <= 200)
);

CREATE INDEX contracts_newest ON contracts USING btree (account_id, created_at DESC, id DESC);

CREATE INDEX contracts_of_job ON contracts USING btree (account_id, job_id, created_at DESC, id DESC);

CREATE INDEX contracts_of_payee ON contracts USING btree (account_id, freelancer_user_id);

CREATE OR REPLACE FUNCTION public.refuse_stranding()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
    begin
      if exists (
        select from milestones m
        left join executing_milestones x on x.account_id = m.account_id and x.milestone_id = m.id
        where m.account_id = old.account_id and m.contract_id = old.id and (
          x.milestone_id is not null
          or m.status = 'ACTIVE_FUNDED' and (old.status, old.freelancer_user_id, old.freelancer_name)
            is distinct from (new.status, new.freelancer_user_id, new.freelancer_name)
        )
      ) then
        raise exception 'a contract whose money is held or moving keeps its payee and does not end'
          using errcode = 'restrict_violation';
      end if;
      return new;
    end $function$;

CREATE TRIGGER contracts_held BEFORE UPDATE ON contracts FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status OR old.freelancer_user_id IS DISTINCT FROM new.freelancer_user_id OR old.freelancer_name IS DISTINCT FROM new.freelancer_name OR old.payout_account IS DISTINCT FROM new.payout_account) EXECUTE FUNCTION refuse_stranding();

create table milestones (
  account_id uuid not null,
  id text not null,
  contract_id text not null,
  number integer not null,
  name text,
  description text not null,
  amount_cents bigint not null,
  currency text default 'usd'::text not null,
  volume numeric,
  due_at timestamp with time zone,
  status text default 'NOT_FUNDED'::text not null,
  invoice_id text,
  revision integer default 1 not null,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  constraint milestones_pkey PRIMARY KEY (account_id, id),
  constraint milestones_account_id_contract_id_fkey FOREIGN KEY (account_id, contract_id) REFERENCES contracts(account_id, id),
  constraint milestones_amount_cents_check CHECK (amount_cents >= 50 AND amount_cents <= 99999999),
  constraint milestones_check CHECK (updated_at >= created_at),
  constraint milestones_currency_check CHECK (currency = 'usd'::text),
  constraint milestones_description_check CHECK (char_length(description) >= 1 AND char_length(description) <= 5000),
  constraint milestones_id_check CHECK (id ~ '^[A-Za-z0-9._-]{1,64}$'::text),
  constraint milestones_name_check CHECK (char_length(name) >= 1 AND char_length(name) <= 200),
  constraint milestones_number_check CHECK (number >= 1),
  constraint milestones_status_check CHECK (status = ANY (ARRAY['NOT_FUNDED'::text, 'ACTIVE_FUNDED'::text, 'PAID'::text, 'REFUNDED'::text, 'CANCELLED'::text])),
  constraint milestones_volume_check CHECK (volume > 0::numeric)
);

CREATE INDEX milestones_newest ON milestones USING btree (account_id, created_at DESC, id DESC);

CREATE UNIQUE INDEX milestones_number ON milestones USING btree (account_id, contract_id, number);

CREATE OR REPLACE FUNCTION public.refuse_change_of_funded()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
    begin
      if old.status <> 'NOT_FUNDED' or exists (
        select from executing_milestones x where x.account_id = old.account_id and x.milestone_id = old.id
      ) then
        raise exception 'a milestone whose money is held or moving keeps its contract and its terms'
          using errcode = 'restrict_violation';
      end if;
      return new;
    end $function$;

CREATE TRIGGER milestones_held BEFORE UPDATE ON milestones FOR EACH ROW WHEN (old.contract_id IS DISTINCT FROM new.contract_id OR old.description IS DISTINCT FROM new.description OR old.amount_cents IS DISTINCT FROM new.amount_cents OR old.currency IS DISTINCT FROM new.currency OR new.status = 'CANCELLED'::text AND old.status <> 'CANCELLED'::text) EXECUTE FUNCTION refuse_change_of_funded();

create table approvals (
  account_id uuid not null,
  id uuid not null,
  type text not null,
  status text default 'pending'::text not null,
  contract_id text not null,
  milestone_id text,
  subject_id text generated always as (COALESCE(milestone_id, contract_id)) stored not null,
  job_id text not null,
  terms jsonb not null,
  terms_digest bytea not null,
  co_sign text not null,
  second_signer_from_cents bigint,
  token_id uuid not null,
  token_name text not null,
  token_preview text not null,
  root_token_id uuid not null,
  asker jsonb,
  contract_title text,
  milestone_name text,
  executing_at timestamp with time zone,
  notify_at timestamp with time zone,
  announced_at timestamp with time zone,
  result jsonb,
  created_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  resolved_at timestamp with time zone,
  constraint approvals_pkey PRIMARY KEY (account_id, id),
  constraint approvals_account_id_contract_id_fkey FOREIGN KEY (account_id, contract_id) REFERENCES contracts(account_id, id),
  constraint approvals_account_id_milestone_id_fkey FOREIGN KEY (account_id, milestone_id) REFERENCES milestones(account_id, id),
  constraint approvals_check CHECK (expires_at > created_at),
  constraint approvals_check1 CHECK ((type = 'contract_end'::text) = (milestone_id IS NULL)),
  constraint approvals_check2 CHECK ((status = 'pending'::text) = (resolved_at IS NULL)),
  constraint approvals_check3 CHECK (resolved_at >= created_at),
  constraint approvals_check4 CHECK (executing_at IS NULL OR status = 'pending'::text),
  constraint approvals_check5 CHECK (status <> 'confirmed'::text OR result IS NOT NULL),
  constraint approvals_check6 CHECK (status <> 'pending'::text OR result IS NULL),
  constraint approvals_check7 CHECK (status <> 'declined'::text OR result IS NULL OR result = jsonb_build_object('note', result ->> 'note'::text) AND char_length(result ->> 'note'::text) >= 1 AND char_length(result ->> 'note'::text) <= 500),
  constraint approvals_co_sign_check CHECK (co_sign = ANY (ARRAY['session'::text, 'passkey'::text])),
  constraint approvals_second_signer_from_cents_check CHECK (second_signer_from_cents > 0),
  constraint approvals_status_check CHECK (status = ANY (ARRAY['pending'::text, 'confirmed'::text, 'declined'::text, 'expired'::text])),
  constraint approvals_terms_digest_check CHECK (octet_length(terms_digest) = 32),
  constraint approvals_type_check CHECK (type = ANY (ARRAY['milestone_fund'::text, 'milestone_approve'::text, 'contract_end'::text]))
);

CREATE UNIQUE INDEX approvals_pending ON approvals USING btree (account_id, type, subject_id) WHERE status = 'pending'::text;

CREATE INDEX approvals_pending_newest ON approvals USING btree (id) WHERE status = 'pending'::text;

CREATE INDEX approvals_ended ON approvals USING btree (status, id) WHERE status <> 'pending'::text;

CREATE INDEX approvals_ended_of_account ON approvals USING btree (account_id, status, id) WHERE status <> 'pending'::text;

CREATE INDEX approvals_due ON approvals USING btree (expires_at) WHERE status = 'pending'::text AND executing_at IS NULL;

CREATE INDEX approvals_notify ON approvals USING btree (notify_at) WHERE status = 'pending'::text AND notify_at IS NOT NULL;

CREATE INDEX approvals_of_subject ON approvals USING btree (account_id, subject_id, created_at) WHERE status <> 'pending'::text;

CREATE INDEX approvals_of_contract ON approvals USING btree (account_id, contract_id, id DESC) WHERE status <> 'pending'::text;

CREATE TRIGGER approvals_decided BEFORE DELETE OR UPDATE ON approvals FOR EACH ROW WHEN (old.status <> 'pending'::text) EXECUTE FUNCTION refuse_change();

CREATE TRIGGER approvals_terms BEFORE UPDATE ON approvals FOR EACH ROW WHEN (old.account_id IS DISTINCT FROM new.account_id OR old.id IS DISTINCT FROM new.id OR old.type IS DISTINCT FROM new.type OR old.contract_id IS DISTINCT FROM new.contract_id OR old.milestone_id IS DISTINCT FROM new.milestone_id OR old.job_id IS DISTINCT FROM new.job_id OR old.terms IS DISTINCT FROM new.terms OR old.terms_digest IS DISTINCT FROM new.terms_digest OR old.co_sign IS DISTINCT FROM new.co_sign OR old.second_signer_from_cents IS DISTINCT FROM new.second_signer_from_cents OR old.token_id IS DISTINCT FROM new.token_id OR old.token_name IS DISTINCT FROM new.token_name OR old.token_preview IS DISTINCT FROM new.token_preview OR old.root_token_id IS DISTINCT FROM new.root_token_id OR old.asker IS DISTINCT FROM new.asker OR old.contract_title IS DISTINCT FROM new.contract_title OR old.milestone_name IS DISTINCT FROM new.milestone_name OR old.created_at IS DISTINCT FROM new.created_at OR old.expires_at IS DISTINCT FROM new.expires_at) EXECUTE FUNCTION refuse_change();

CREATE TRIGGER approvals_emptied BEFORE TRUNCATE ON approvals FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

create table executing_milestones (
  account_id uuid not null,
  milestone_id text not null,
  approval_id uuid not null,
  started_at timestamp with time zone not null,
  constraint executing_milestones_pkey PRIMARY KEY (account_id, milestone_id),
  constraint executing_milestones_account_id_approval_id_fkey FOREIGN KEY (account_id, approval_id) REFERENCES approvals(account_id, id),
  constraint executing_milestones_account_id_milestone_id_fkey FOREIGN KEY (account_id, milestone_id) REFERENCES milestones(account_id, id)
);

CREATE OR REPLACE FUNCTION public.hold_contract()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
    declare
      held text;
    begin
      select contract_id into held from milestones where account_id = new.account_id and id = new.milestone_id;
      if not found then
        return new; -- The foreign key refuses it.
      end if;
      perform from contracts where account_id = new.account_id and id = held and status = 'active' for share;
      if not found then
        raise exception 'an action begins under an active contract alone' using errcode = 'restrict_violation';
      end if;
      perform from milestones
      where account_id = new.account_id and id = new.milestone_id and contract_id = held for share;
      if not found then
        raise exception 'the milestone was moved to another contract' using errcode = 'serialization_failure';
      end if;
      return new;
    end $function$;

CREATE TRIGGER executing_milestones_held BEFORE INSERT ON executing_milestones FOR EACH ROW EXECUTE FUNCTION hold_contract();

create table signatures (
  account_id uuid not null,
  approval_id uuid not null,
  statement_digest bytea not null,
  user_id text not null,
  decision text not null,
  statement jsonb not null,
  proof jsonb not null,
  created_at timestamp with time zone not null,
  signers_required smallint default 1 not null,
  constraint signatures_pkey PRIMARY KEY (account_id, approval_id, statement_digest, user_id),
  constraint signatures_account_id_approval_id_fkey FOREIGN KEY (account_id, approval_id) REFERENCES approvals(account_id, id),
  constraint signatures_decision_check CHECK (decision = ANY (ARRAY['confirm'::text, 'decline'::text])),
  constraint signatures_signers_required_check CHECK (signers_required = ANY (ARRAY[1, 2])),
  constraint signatures_statement_digest_check CHECK (octet_length(statement_digest) = 32)
);

CREATE TRIGGER signatures_kept BEFORE DELETE OR UPDATE ON signatures FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER signatures_emptied BEFORE TRUNCATE ON signatures FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

create table co_sign_challenges (
  account_id uuid not null,
  approval_id uuid not null,
  user_id text not null,
  session_id text not null,
  digest bytea not null,
  issued_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  constraint co_sign_challenges_pkey PRIMARY KEY (account_id, approval_id, user_id),
  constraint co_sign_challenges_account_id_approval_id_fkey FOREIGN KEY (account_id, approval_id) REFERENCES approvals(account_id, id),
  constraint co_sign_challenges_check CHECK (expires_at > issued_at),
  constraint co_sign_challenges_digest_check CHECK (octet_length(digest) = 32)
);

create table events (
  account_id uuid not null,
  number bigint not null,
  type text not null,
  resource_id text not null,
  job_id text,
  data json not null,
  created_at timestamp with time zone not null,
  constraint events_pkey PRIMARY KEY (account_id, number),
  constraint events_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint events_number_check CHECK (number >= 1)
);

CREATE INDEX events_oldest ON events USING btree (created_at, account_id, number);

CREATE TRIGGER events_kept BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION refuse_change();

create schema sandbox;

create table sandbox.payment_methods (
  id text not null,
  account_id uuid not null,
  test_method text not null,
  brand text not null,
  last4 text not null,
  exp_month smallint not null,
  exp_year smallint not null,
  detached_at timestamp with time zone,
  constraint payment_methods_pkey PRIMARY KEY (id)
);

create table sandbox.intents (
  id text not null,
  account_id uuid not null,
  idempotency_key text not null,
  payment_method text not null,
  amount_cents bigint not null,
  currency text not null,
  status text not null,
  decline_code text,
  metadata jsonb not null,
  created_at timestamp with time zone not null,
  constraint intents_pkey PRIMARY KEY (id),
  constraint intents_idempotency_key_key UNIQUE (idempotency_key),
  constraint intents_status_check CHECK (status = ANY (ARRAY['requires_confirmation'::text, 'requires_action'::text, 'requires_payment_method'::text, 'succeeded'::text, 'canceled'::text]))
);

create table sandbox.charges (
  id text not null,
  intent_id text not null,
  account_id uuid not null,
  idempotency_key text not null,
  amount_cents bigint not null,
  currency text not null,
  status text not null,
  metadata jsonb not null,
  created_at timestamp with time zone not null,
  constraint charges_pkey PRIMARY KEY (id),
  constraint charges_intent_id_fkey FOREIGN KEY (intent_id) REFERENCES sandbox.intents(id),
  constraint charges_status_check CHECK (status = ANY (ARRAY['succeeded'::text, 'failed'::text]))
);

CREATE INDEX sandbox_charges_newest ON sandbox.charges USING btree (account_id, created_at DESC);

CREATE UNIQUE INDEX sandbox_charges_once ON sandbox.charges USING btree (intent_id) WHERE status = 'succeeded'::text;

create table sandbox.checkout_sessions (
  id text not null,
  account_id uuid not null,
  idempotency_key text not null,
  amount_cents bigint not null,
  currency text not null,
  status text not null,
  intent_id text,
  metadata jsonb not null,
  return_url text not null,
  created_at timestamp with time zone not null,
  constraint checkout_sessions_pkey PRIMARY KEY (id),
  constraint checkout_sessions_idempotency_key_key UNIQUE (idempotency_key),
  constraint checkout_sessions_intent_id_fkey FOREIGN KEY (intent_id) REFERENCES sandbox.intents(id),
  constraint checkout_sessions_check CHECK ((status = 'complete'::text) = (intent_id IS NOT NULL)),
  constraint checkout_sessions_status_check CHECK (status = ANY (ARRAY['open'::text, 'complete'::text, 'expired'::text]))
);

create table sandbox.transfers (
  id text not null,
  account_id uuid not null,
  idempotency_key text not null,
  destination text not null,
  source_intent text,
  amount_cents bigint not null,
  currency text not null,
  status text not null,
  failure_code text,
  reversed_cents bigint default 0 not null,
  metadata jsonb not null,
  created_at timestamp with time zone not null,
  constraint transfers_pkey PRIMARY KEY (id),
  constraint transfers_idempotency_key_key UNIQUE (idempotency_key),
  constraint transfers_source_intent_fkey FOREIGN KEY (source_intent) REFERENCES sandbox.intents(id),
  constraint transfers_check CHECK (reversed_cents >= 0 AND reversed_cents <= amount_cents),
  constraint transfers_status_check CHECK (status = ANY (ARRAY['pending'::text, 'paid'::text, 'failed'::text]))
);

create table sandbox.refunds (
  id text not null,
  account_id uuid not null,
  idempotency_key text not null,
  intent_id text not null,
  amount_cents bigint not null,
  currency text not null,
  status text not null,
  failure_code text,
  metadata jsonb not null,
  created_at timestamp with time zone not null,
  constraint refunds_pkey PRIMARY KEY (id),
  constraint refunds_idempotency_key_key UNIQUE (idempotency_key),
  constraint refunds_intent_id_fkey FOREIGN KEY (intent_id) REFERENCES sandbox.intents(id),
  constraint refunds_status_check CHECK (status = ANY (ARRAY['pending'::text, 'succeeded'::text, 'failed'::text]))
);

CREATE INDEX sandbox_refunds_of_intent ON sandbox.refunds USING btree (intent_id);

create table processor (
  id uuid not null,
  singleton boolean default true not null,
  name text not null,
  receipts_since timestamp with time zone default now() not null,
  constraint processor_pkey PRIMARY KEY (id),
  constraint processor_name_key UNIQUE (name),
  constraint processor_singleton_key UNIQUE (singleton),
  constraint processor_name_check CHECK (name = ANY (ARRAY['sandbox'::text, 'stripe_test'::text, 'stripe_live'::text])),
  constraint processor_singleton_check CHECK (singleton)
);

CREATE TRIGGER processor_kept BEFORE DELETE ON processor FOR EACH ROW EXECUTE FUNCTION refuse_change();

create table processor_customers (
  account_id uuid not null,
  customer_id text not null,
  created_at timestamp with time zone not null,
  constraint processor_customers_pkey PRIMARY KEY (account_id),
  constraint processor_customers_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id)
);

create table payment_methods (
  account_id uuid not null,
  id text not null,
  brand text not null,
  last4 text not null,
  exp_month smallint not null,
  exp_year smallint not null,
  is_default boolean not null,
  processor text default 'sandbox'::text not null,
  created_at timestamp with time zone not null,
  removed_at timestamp with time zone,
  detached_at timestamp with time zone,
  constraint payment_methods_pkey PRIMARY KEY (account_id, id),
  constraint payment_methods_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint payment_methods_processor_fkey FOREIGN KEY (processor) REFERENCES processor(name),
  constraint payment_methods_check CHECK (removed_at IS NULL OR NOT is_default),
  constraint payment_methods_check1 CHECK (detached_at IS NULL OR removed_at IS NOT NULL),
  constraint payment_methods_exp_month_check CHECK (exp_month >= 1 AND exp_month <= 12),
  constraint payment_methods_id_check CHECK (char_length(id) >= 1 AND char_length(id) <= 255),
  constraint payment_methods_last4_check CHECK (last4 ~ '^[0-9]{4}$'::text)
);

CREATE INDEX payment_methods_undetached ON payment_methods USING btree (removed_at) WHERE removed_at IS NOT NULL AND detached_at IS NULL;

CREATE UNIQUE INDEX payment_methods_default ON payment_methods USING btree (account_id) WHERE is_default;

create table processor_events (
  id text not null,
  type text not null,
  intent_id text,
  setup_id text,
  session_id text,
  sent_kind text,
  sent_id text,
  account_id uuid,
  received_at timestamp with time zone not null,
  attempts integer default 0 not null,
  due_at timestamp with time zone,
  handled_at timestamp with time zone,
  constraint processor_events_pkey PRIMARY KEY (id),
  constraint processor_events_check CHECK ((sent_kind IS NULL) = (sent_id IS NULL)),
  constraint processor_events_check1 CHECK ((handled_at IS NULL) = (due_at IS NOT NULL)),
  constraint processor_events_sent_kind_check CHECK (sent_kind = ANY (ARRAY['payout'::text, 'refund'::text]))
);

CREATE INDEX processor_events_due ON processor_events USING btree (due_at) WHERE due_at IS NOT NULL;

CREATE INDEX processor_events_handled ON processor_events USING btree (handled_at) WHERE handled_at IS NOT NULL;

create table processor_search (
  id boolean default true not null,
  run text default server_run() not null,
  seen_at timestamp with time zone default now() not null,
  constraint processor_search_pkey PRIMARY KEY (id),
  constraint processor_search_id_check CHECK (id)
);

create table lost_intents (
  account_id uuid not null,
  intent_id text not null,
  milestone_id text not null,
  found_at timestamp with time zone not null,
  told_at timestamp with time zone,
  constraint lost_intents_pkey PRIMARY KEY (account_id, intent_id)
);

CREATE INDEX lost_intents_of_milestone ON lost_intents USING btree (account_id, milestone_id);

create table payments (
  account_id uuid not null,
  id uuid not null,
  kind text not null,
  approval_id uuid not null,
  milestone_id text not null,
  card_id text,
  source_payment_id uuid,
  amount_cents bigint not null,
  currency text not null,
  processor text default 'sandbox'::text not null,
  key_number integer not null,
  body jsonb not null,
  status text not null,
  intent_id text,
  sent_id text,
  key_used_at timestamp with time zone,
  pending_at timestamp with time zone,
  action_url text,
  refusal_code text,
  refusal_message text,
  lease uuid,
  leased_until timestamp with time zone,
  due_at timestamp with time zone,
  alerted_at timestamp with time zone,
  alerted_last_at timestamp with time zone,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  resolved_at timestamp with time zone,
  constraint payments_pkey PRIMARY KEY (account_id, id),
  constraint payments_account_id_id_milestone_id_key UNIQUE (account_id, id, milestone_id),
  constraint payments_account_id_approval_id_fkey FOREIGN KEY (account_id, approval_id) REFERENCES approvals(account_id, id),
  constraint payments_account_id_milestone_id_fkey FOREIGN KEY (account_id, milestone_id) REFERENCES milestones(account_id, id),
  constraint payments_account_id_source_payment_id_fkey FOREIGN KEY (account_id, source_payment_id) REFERENCES payments(account_id, id),
  constraint payments_processor_fkey FOREIGN KEY (processor) REFERENCES processor(name),
  constraint payments_amount_cents_check CHECK (amount_cents > 0),
  constraint payments_body_check CHECK (jsonb_typeof(body) = 'object'::text),
  constraint payments_check CHECK ((kind = 'charge'::text) = (card_id IS NOT NULL)),
  constraint payments_check1 CHECK (kind = 'charge'::text OR intent_id IS NULL AND action_url IS NULL),
  constraint payments_check10 CHECK ((status = 'refused'::text) = (refusal_code IS NOT NULL)),
  constraint payments_check2 CHECK (kind <> 'charge'::text OR sent_id IS NULL AND key_used_at IS NULL AND source_payment_id IS NULL),
  constraint payments_check3 CHECK (kind <> 'refund'::text OR source_payment_id IS NOT NULL),
  constraint payments_check4 CHECK ((status = ANY (ARRAY['succeeded'::text, 'refused'::text])) = (resolved_at IS NOT NULL)),
  constraint payments_check5 CHECK (updated_at >= created_at AND resolved_at >= created_at),
  constraint payments_check6 CHECK ((status = ANY (ARRAY['succeeded'::text, 'refused'::text])) = (due_at IS NULL)),
  constraint payments_check7 CHECK ((status = ANY (ARRAY['created'::text, 'refused'::text])) OR kind <> 'charge'::text OR intent_id IS NOT NULL),
  constraint payments_check8 CHECK (status <> 'succeeded'::text OR kind = 'charge'::text OR sent_id IS NOT NULL),
  constraint payments_check9 CHECK ((status = 'action_required'::text) = (action_url IS NOT NULL)),
  constraint payments_currency_check CHECK (currency = 'usd'::text),
  constraint payments_key_number_check CHECK (key_number >= 0),
  constraint payments_kind_check CHECK (kind = ANY (ARRAY['charge'::text, 'payout'::text, 'refund'::text])),
  constraint payments_status_check CHECK (status = ANY (ARRAY['created'::text, 'submitted'::text, 'action_required'::text, 'unknown'::text, 'succeeded'::text, 'refused'::text]))
);

CREATE UNIQUE INDEX payments_open ON payments USING btree (account_id, approval_id, milestone_id) WHERE status <> 'refused'::text;

CREATE UNIQUE INDEX payments_key ON payments USING btree (account_id, milestone_id, kind, key_number);

CREATE UNIQUE INDEX payments_sent ON payments USING btree (account_id, kind, sent_id) WHERE sent_id IS NOT NULL;

CREATE UNIQUE INDEX payments_intent ON payments USING btree (account_id, intent_id) WHERE intent_id IS NOT NULL;

CREATE INDEX payments_of_milestone ON payments USING btree (account_id, milestone_id, kind) WHERE status = 'succeeded'::text;

CREATE INDEX payments_of_approval ON payments USING btree (account_id, approval_id, created_at DESC);

CREATE INDEX payments_newest ON payments USING btree (account_id, created_at DESC);

CREATE INDEX payments_lately ON payments USING btree (account_id, resolved_at) WHERE status <> 'refused'::text;

CREATE INDEX payments_by_status ON payments USING btree (status, id);

CREATE INDEX payments_by_status_of_account ON payments USING btree (account_id, status, id);

CREATE INDEX payments_due ON payments USING btree (due_at) WHERE due_at IS NOT NULL;

CREATE TRIGGER payments_body BEFORE UPDATE ON payments FOR EACH ROW WHEN (old.account_id IS DISTINCT FROM new.account_id OR old.id IS DISTINCT FROM new.id OR old.kind IS DISTINCT FROM new.kind OR old.approval_id IS DISTINCT FROM new.approval_id OR old.milestone_id IS DISTINCT FROM new.milestone_id OR old.card_id IS DISTINCT FROM new.card_id OR old.source_payment_id IS DISTINCT FROM new.source_payment_id OR old.amount_cents IS DISTINCT FROM new.amount_cents OR old.currency IS DISTINCT FROM new.currency OR old.body IS DISTINCT FROM new.body OR new.key_number < old.key_number) EXECUTE FUNCTION refuse_change();

CREATE TRIGGER payments_decided BEFORE DELETE OR UPDATE ON payments FOR EACH ROW WHEN (old.status = ANY (ARRAY['succeeded'::text, 'refused'::text])) EXECUTE FUNCTION refuse_change();

CREATE TRIGGER payments_emptied BEFORE TRUNCATE ON payments FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

create table payment_signatures (
  account_id uuid not null,
  payment_id uuid not null,
  milestone_id text not null,
  approval_id uuid not null,
  statement_digest bytea not null,
  user_id text not null,
  constraint payment_signatures_pkey PRIMARY KEY (account_id, payment_id, user_id),
  constraint payment_signatures_account_id_approval_id_statement_digest_fkey FOREIGN KEY (account_id, approval_id, statement_digest, user_id) REFERENCES signatures(account_id, approval_id, statement_digest, user_id),
  constraint payment_signatures_account_id_payment_id_milestone_id_fkey FOREIGN KEY (account_id, payment_id, milestone_id) REFERENCES payments(account_id, id, milestone_id)
);

CREATE UNIQUE INDEX payment_signatures_once ON payment_signatures USING btree (account_id, approval_id, statement_digest, user_id, milestone_id);

CREATE TRIGGER payment_signatures_kept BEFORE DELETE OR UPDATE ON payment_signatures FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER payment_signatures_emptied BEFORE TRUNCATE ON payment_signatures FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

create table invoices (
  account_id uuid not null,
  id uuid not null,
  number bigint not null,
  kind text not null,
  approval_id uuid not null,
  payment_id uuid,
  contract_id text not null,
  milestone_id text not null,
  amount_cents bigint not null,
  currency text not null,
  status text not null,
  created_at timestamp with time zone not null,
  constraint invoices_pkey PRIMARY KEY (account_id, id),
  constraint invoices_account_id_number_key UNIQUE (account_id, number),
  constraint invoices_account_id_approval_id_fkey FOREIGN KEY (account_id, approval_id) REFERENCES approvals(account_id, id),
  constraint invoices_account_id_contract_id_fkey FOREIGN KEY (account_id, contract_id) REFERENCES contracts(account_id, id),
  constraint invoices_account_id_milestone_id_fkey FOREIGN KEY (account_id, milestone_id) REFERENCES milestones(account_id, id),
  constraint invoices_account_id_payment_id_fkey FOREIGN KEY (account_id, payment_id) REFERENCES payments(account_id, id),
  constraint invoices_amount_cents_check CHECK (amount_cents > 0),
  constraint invoices_currency_check CHECK (currency = 'usd'::text),
  constraint invoices_kind_check CHECK (kind = ANY (ARRAY['FUNDING'::text, 'PAYOUT'::text])),
  constraint invoices_number_check CHECK (number >= 1),
  constraint invoices_status_check CHECK (status = ANY (ARRAY['open'::text, 'paid'::text, 'refunded'::text, 'void'::text]))
);

CREATE UNIQUE INDEX invoices_approval ON invoices USING btree (account_id, approval_id) WHERE status <> 'void'::text;

CREATE UNIQUE INDEX invoices_payment ON invoices USING btree (account_id, payment_id) WHERE payment_id IS NOT NULL;

CREATE INDEX invoices_open ON invoices USING btree (account_id, number DESC) WHERE status = 'open'::text;

CREATE INDEX invoices_of_milestone ON invoices USING btree (account_id, milestone_id);

CREATE TRIGGER invoices_kept BEFORE DELETE ON invoices FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER invoices_paid BEFORE UPDATE ON invoices FOR EACH ROW WHEN ((old.status <> 'open'::text OR new.status <> 'paid'::text) AND (old.status <> 'open'::text OR new.status <> 'void'::text) AND (old.status <> 'paid'::text OR new.status <> 'refunded'::text) OR old.account_id IS DISTINCT FROM new.account_id OR old.id IS DISTINCT FROM new.id OR old.number IS DISTINCT FROM new.number OR old.kind IS DISTINCT FROM new.kind OR old.approval_id IS DISTINCT FROM new.approval_id OR old.payment_id IS DISTINCT FROM new.payment_id OR old.contract_id IS DISTINCT FROM new.contract_id OR old.milestone_id IS DISTINCT FROM new.milestone_id OR old.amount_cents IS DISTINCT FROM new.amount_cents OR old.currency IS DISTINCT FROM new.currency OR old.created_at IS DISTINCT FROM new.created_at) EXECUTE FUNCTION refuse_change();

CREATE TRIGGER invoices_emptied BEFORE TRUNCATE ON invoices FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

create table refunds (
  account_id uuid not null,
  approval_id uuid not null,
  milestone_id text not null,
  sent_to text not null,
  refund_id text not null,
  amount_cents bigint not null,
  created_at timestamp with time zone not null,
  constraint refunds_pkey PRIMARY KEY (account_id, milestone_id),
  constraint refunds_account_id_approval_id_fkey FOREIGN KEY (account_id, approval_id) REFERENCES approvals(account_id, id),
  constraint refunds_account_id_milestone_id_fkey FOREIGN KEY (account_id, milestone_id) REFERENCES milestones(account_id, id),
  constraint refunds_amount_cents_check CHECK (amount_cents > 0),
  constraint refunds_sent_to_check CHECK (sent_to = ANY (ARRAY['card'::text, 'credits'::text]))
);

CREATE INDEX refunds_of_approval ON refunds USING btree (account_id, approval_id);

CREATE INDEX refunds_newest ON refunds USING btree (account_id, created_at DESC);

CREATE TRIGGER refunds_kept BEFORE DELETE OR UPDATE ON refunds FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER refunds_emptied BEFORE TRUNCATE ON refunds FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

create table payment_pause (
  one_row boolean default true not null,
  paused boolean not null,
  changed_at timestamp with time zone,
  constraint payment_pause_pkey PRIMARY KEY (one_row),
  constraint payment_pause_one_row_check CHECK (one_row)
);

CREATE OR REPLACE FUNCTION public.refuse_removal()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
    begin
      raise exception 'the row of % stays', tg_table_name using errcode = 'restrict_violation';
    end $function$;

CREATE TRIGGER payment_pause_kept BEFORE DELETE ON payment_pause FOR EACH ROW EXECUTE FUNCTION refuse_removal();

CREATE TRIGGER payment_pause_emptied BEFORE TRUNCATE ON payment_pause FOR EACH STATEMENT EXECUTE FUNCTION refuse_removal();

create table top_ups (
  account_id uuid not null,
  id uuid not null,
  amount_cents bigint not null,
  currency text not null,
  status text not null,
  asked_by jsonb not null,
  processor text not null,
  session_number integer default 0 not null,
  session_id text,
  session_url text,
  intent_id text,
  due_at timestamp with time zone,
  created_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  completed_at timestamp with time zone,
  constraint top_ups_pkey PRIMARY KEY (account_id, id),
  constraint top_ups_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint top_ups_processor_fkey FOREIGN KEY (processor) REFERENCES processor(name),
  constraint top_ups_amount_cents_check CHECK (amount_cents >= 1000 AND amount_cents <= 1000000),
  constraint top_ups_asked_by_check CHECK (jsonb_typeof(asked_by) = 'object'::text),
  constraint top_ups_check CHECK (expires_at > created_at),
  constraint top_ups_check1 CHECK ((status = 'COMPLETED'::text) = (completed_at IS NOT NULL)),
  constraint top_ups_check2 CHECK (status <> 'COMPLETED'::text OR session_id IS NOT NULL AND intent_id IS NOT NULL),
  constraint top_ups_check3 CHECK ((status = 'PENDING'::text) = (due_at IS NOT NULL)),
  constraint top_ups_currency_check CHECK (currency = 'usd'::text),
  constraint top_ups_session_number_check CHECK (session_number >= 0),
  constraint top_ups_status_check CHECK (status = ANY (ARRAY['PENDING'::text, 'COMPLETED'::text, 'EXPIRED'::text]))
);

CREATE INDEX top_ups_pending ON top_ups USING btree (account_id) WHERE status = 'PENDING'::text;

CREATE INDEX top_ups_due ON top_ups USING btree (due_at) WHERE due_at IS NOT NULL;

CREATE INDEX top_ups_newest ON top_ups USING btree (account_id, created_at DESC, id DESC);

CREATE UNIQUE INDEX top_ups_session ON top_ups USING btree (account_id, session_id) WHERE session_id IS NOT NULL;

CREATE UNIQUE INDEX top_ups_intent ON top_ups USING btree (account_id, intent_id) WHERE intent_id IS NOT NULL;

CREATE TRIGGER top_ups_kept BEFORE UPDATE ON top_ups FOR EACH ROW WHEN (old.status = 'COMPLETED'::text OR old.status = 'EXPIRED'::text AND new.status = 'PENDING'::text OR old.account_id IS DISTINCT FROM new.account_id OR old.id IS DISTINCT FROM new.id OR old.amount_cents IS DISTINCT FROM new.amount_cents OR old.currency IS DISTINCT FROM new.currency OR old.asked_by IS DISTINCT FROM new.asked_by OR old.created_at IS DISTINCT FROM new.created_at OR old.expires_at IS DISTINCT FROM new.expires_at) EXECUTE FUNCTION refuse_change();

CREATE TRIGGER top_ups_stay BEFORE DELETE ON top_ups FOR EACH ROW EXECUTE FUNCTION refuse_change();

create table credit_entries (
  account_id uuid not null,
  id uuid not null,
  number bigint not null,
  type text not null,
  amount_cents bigint not null,
  reserved_cents bigint not null,
  closed_cents bigint generated always as (- reserved_cents) stored not null,
  hold_entry_id uuid,
  approval_id uuid,
  job_id text,
  contract_id text,
  milestone_id text,
  top_up_id uuid,
  note text,
  created_at timestamp with time zone not null,
  constraint credit_entries_pkey PRIMARY KEY (account_id, id),
  constraint credit_entries_account_id_id_reserved_cents_key UNIQUE (account_id, id, reserved_cents),
  constraint credit_entries_account_id_number_key UNIQUE (account_id, number),
  constraint credit_entries_account_id_approval_id_fkey FOREIGN KEY (account_id, approval_id) REFERENCES approvals(account_id, id),
  constraint credit_entries_account_id_contract_id_fkey FOREIGN KEY (account_id, contract_id) REFERENCES contracts(account_id, id),
  constraint credit_entries_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint credit_entries_account_id_hold_entry_id_closed_cents_fkey FOREIGN KEY (account_id, hold_entry_id, closed_cents) REFERENCES credit_entries(account_id, id, reserved_cents),
  constraint credit_entries_account_id_milestone_id_fkey FOREIGN KEY (account_id, milestone_id) REFERENCES milestones(account_id, id),
  constraint credit_entries_account_id_top_up_id_fkey FOREIGN KEY (account_id, top_up_id) REFERENCES top_ups(account_id, id),
  constraint credit_entries_check CHECK (
CASE type
    WHEN 'HOLD'::text THEN amount_cents < 0 AND reserved_cents = (- amount_cents)
    WHEN 'HOLD_RELEASE'::text THEN amount_cents > 0 AND reserved_cents = (- amount_cents)
    WHEN 'CAPTURE'::text THEN amount_cents = 0 AND reserved_cents < 0
    WHEN 'ADJUSTMENT'::text THEN amount_cents <> 0 AND reserved_cents = 0
    ELSE amount_cents > 0 AND reserved_cents = 0
END),
  constraint credit_entries_check1 CHECK ((type = ANY (ARRAY['HOLD_RELEASE'::text, 'CAPTURE'::text])) = (hold_entry_id IS NOT NULL)),
  constraint credit_entries_check2 CHECK ((type = ANY (ARRAY['HOLD'::text, 'HOLD_RELEASE'::text, 'CAPTURE'::text, 'REFUND'::text])) = (num_nonnulls(approval_id, job_id, contract_id, milestone_id) = 4)),
  constraint credit_entries_check3 CHECK (type <> 'TOP_UP'::text OR top_up_id IS NOT NULL),
  constraint credit_entries_check4 CHECK (type <> 'ADJUSTMENT'::text OR note IS NOT NULL),
  constraint credit_entries_note_check CHECK (char_length(note) >= 1 AND char_length(note) <= 500),
  constraint credit_entries_number_check CHECK (number >= 1),
  constraint credit_entries_type_check CHECK (type = ANY (ARRAY['TOP_UP'::text, 'HOLD'::text, 'HOLD_RELEASE'::text, 'CAPTURE'::text, 'REFUND'::text, 'ADJUSTMENT'::text]))
);

CREATE UNIQUE INDEX credit_holds ON credit_entries USING btree (account_id, milestone_id) WHERE type = 'HOLD'::text;

CREATE UNIQUE INDEX credit_holds_closed ON credit_entries USING btree (account_id, hold_entry_id) WHERE hold_entry_id IS NOT NULL;

CREATE UNIQUE INDEX credit_refunds ON credit_entries USING btree (account_id, milestone_id) WHERE type = 'REFUND'::text;

CREATE UNIQUE INDEX credit_top_ups ON credit_entries USING btree (account_id, top_up_id) WHERE type = 'TOP_UP'::text;

CREATE INDEX credit_entries_of_approval ON credit_entries USING btree (account_id, approval_id) WHERE approval_id IS NOT NULL;

CREATE INDEX credit_entries_lately ON credit_entries USING btree (account_id, created_at) WHERE type = ANY (ARRAY['HOLD'::text, 'HOLD_RELEASE'::text]);

CREATE TRIGGER credit_entries_kept BEFORE DELETE OR UPDATE ON credit_entries FOR EACH ROW EXECUTE FUNCTION refuse_change();

create table credit_signatures (
  account_id uuid not null,
  entry_id uuid not null,
  approval_id uuid not null,
  statement_digest bytea not null,
  user_id text not null,
  constraint credit_signatures_pkey PRIMARY KEY (account_id, entry_id, user_id),
  constraint credit_signatures_account_id_approval_id_statement_digest__fkey FOREIGN KEY (account_id, approval_id, statement_digest, user_id) REFERENCES signatures(account_id, approval_id, statement_digest, user_id),
  constraint credit_signatures_account_id_entry_id_fkey FOREIGN KEY (account_id, entry_id) REFERENCES credit_entries(account_id, id)
);

CREATE TRIGGER credit_signatures_kept BEFORE DELETE OR UPDATE ON credit_signatures FOR EACH ROW EXECUTE FUNCTION refuse_change();

create table credit_balances (
  account_id uuid not null,
  available_cents bigint default 0 not null,
  reserved_cents bigint default 0 not null,
  last_entry bigint default 0 not null,
  constraint credit_balances_pkey PRIMARY KEY (account_id),
  constraint credit_balances_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint credit_balances_last_entry_check CHECK (last_entry >= 0),
  constraint credit_balances_reserved_cents_check CHECK (reserved_cents >= 0)
);

CREATE TRIGGER credit_balances_begin_empty BEFORE INSERT ON credit_balances FOR EACH ROW WHEN (new.available_cents <> 0 OR new.reserved_cents <> 0 OR new.last_entry <> 0) EXECUTE FUNCTION refuse_change();

CREATE TRIGGER credit_balances_derived BEFORE UPDATE ON credit_balances FOR EACH ROW WHEN (pg_trigger_depth() = 0 AND (old.account_id IS DISTINCT FROM new.account_id OR old.available_cents IS DISTINCT FROM new.available_cents OR old.reserved_cents IS DISTINCT FROM new.reserved_cents OR old.last_entry IS DISTINCT FROM new.last_entry)) EXECUTE FUNCTION refuse_change();

CREATE TRIGGER credit_balances_stay BEFORE DELETE ON credit_balances FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE OR REPLACE FUNCTION public.add_to_credit_balance()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
    declare
      available bigint;
    begin
      update credit_balances b set
        available_cents = b.available_cents + new.amount_cents,
        reserved_cents = b.reserved_cents + new.reserved_cents,
        last_entry = new.number
      where b.account_id = new.account_id and b.last_entry = new.number - 1
      returning b.available_cents into available;
      if not found then
        raise exception 'an entry has the next number of its account' using errcode = 'serialization_failure';
      end if;
      if available < 0 and new.amount_cents < 0 and new.type <> 'ADJUSTMENT' then
        raise exception 'only an adjustment takes more than is available' using errcode = 'check_violation';
      end if;
      return null;
    end $function$;

CREATE TRIGGER credit_entries_summed AFTER INSERT ON credit_entries FOR EACH ROW EXECUTE FUNCTION add_to_credit_balance();

create table ledger_entries (
  account_id uuid not null,
  transaction_id uuid not null,
  line smallint not null,
  ledger_account text not null,
  amount_cents bigint not null,
  currency text not null,
  payment_id uuid,
  credit_entry_id uuid,
  created_at timestamp with time zone not null,
  constraint ledger_entries_pkey PRIMARY KEY (account_id, transaction_id, line),
  constraint ledger_entries_account_id_credit_entry_id_fkey FOREIGN KEY (account_id, credit_entry_id) REFERENCES credit_entries(account_id, id),
  constraint ledger_entries_account_id_payment_id_fkey FOREIGN KEY (account_id, payment_id) REFERENCES payments(account_id, id),
  constraint ledger_entries_amount_cents_check CHECK (amount_cents <> 0),
  constraint ledger_entries_check CHECK (num_nonnulls(payment_id, credit_entry_id) >= 1),
  constraint ledger_entries_currency_check CHECK (currency = 'usd'::text),
  constraint ledger_entries_line_check CHECK (line >= 1)
);

CREATE INDEX ledger_of_account ON ledger_entries USING btree (account_id, ledger_account);

CREATE INDEX ledger_of_payment ON ledger_entries USING btree (account_id, payment_id);

CREATE INDEX ledger_entries_of_credit ON ledger_entries USING btree (account_id, credit_entry_id) WHERE credit_entry_id IS NOT NULL;

CREATE OR REPLACE FUNCTION public.ledger_balances()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
    declare
      outgoing record;
    begin
      if exists (
        select from added group by account_id, transaction_id, currency having sum(amount_cents) <> 0
      ) then
        raise exception 'the entries of a movement must sum to zero' using errcode = 'check_violation';
      end if;
      -- Invariant 7. What is held for a milestone stands against it: no more goes out than was paid in. One after the other, as
      -- a statement on a distributed table cannot read the added rows.
      for outgoing in
        select distinct account_id, ledger_account from added where ledger_account like 'milestone:%' and amount_cents > 0
      loop
        if (
          select sum(l.amount_cents) from ledger_entries l
          where l.account_id = outgoing.account_id and l.ledger_account = outgoing.ledger_account
        ) > 0 then
          raise exception 'more would go out of a milestone than was paid in for it' using errcode = 'check_violation';
        end if;
      end loop;
      return null;
    end $function$;

CREATE TRIGGER ledger_balances AFTER INSERT ON ledger_entries REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ledger_balances();

CREATE TRIGGER ledger_kept BEFORE DELETE OR UPDATE ON ledger_entries FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER ledger_entries_emptied BEFORE TRUNCATE ON ledger_entries FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

create table reversals (
  account_id uuid not null,
  id text not null,
  payment_id uuid,
  top_up_id uuid,
  kind text not null,
  status text not null,
  amount_cents bigint not null,
  currency text not null,
  taken_cents bigint not null,
  final boolean not null,
  observed_at timestamp with time zone not null,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  constraint reversals_pkey PRIMARY KEY (account_id, id),
  constraint reversals_account_id_payment_id_fkey FOREIGN KEY (account_id, payment_id) REFERENCES payments(account_id, id),
  constraint reversals_account_id_top_up_id_fkey FOREIGN KEY (account_id, top_up_id) REFERENCES top_ups(account_id, id),
  constraint reversals_amount_cents_check CHECK (amount_cents > 0),
  constraint reversals_check CHECK (num_nonnulls(payment_id, top_up_id) = 1),
  constraint reversals_currency_check CHECK (currency = 'usd'::text),
  constraint reversals_kind_check CHECK (kind = ANY (ARRAY['refund'::text, 'dispute'::text, 'failed_refund'::text, 'returned_payout'::text])),
  constraint reversals_taken_cents_check CHECK (taken_cents >= 0)
);

CREATE INDEX reversals_of_payment ON reversals USING btree (account_id, payment_id);

CREATE INDEX reversals_of_top_up ON reversals USING btree (account_id, top_up_id) WHERE top_up_id IS NOT NULL;

CREATE TRIGGER reversals_kept BEFORE DELETE ON reversals FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER reversals_emptied BEFORE TRUNCATE ON reversals FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

create table receipts (
  account_id uuid not null,
  chain_index bigint not null,
  approval_id uuid not null,
  previous_index bigint,
  previous_digest bytea not null,
  digest bytea not null,
  body text not null,
  created_at timestamp with time zone not null,
  constraint receipts_pkey PRIMARY KEY (account_id, chain_index),
  constraint receipts_account_id_approval_id_key UNIQUE (account_id, approval_id),
  constraint receipts_account_id_chain_index_digest_key UNIQUE (account_id, chain_index, digest),
  constraint receipts_account_id_previous_index_key UNIQUE NULLS NOT DISTINCT (account_id, previous_index),
  constraint receipts_account_id_approval_id_fkey FOREIGN KEY (account_id, approval_id) REFERENCES approvals(account_id, id),
  constraint receipts_account_id_previous_index_previous_digest_fkey FOREIGN KEY (account_id, previous_index, previous_digest) REFERENCES receipts(account_id, chain_index, digest),
  constraint receipts_chain_index_check CHECK (chain_index >= 1),
  constraint receipts_check CHECK (digest = sha256(convert_to(body, 'UTF8'::name))),
  constraint receipts_check1 CHECK ((previous_index IS NULL) = (previous_digest = decode(repeat('00'::text, 32), 'hex'::text))),
  constraint receipts_check2 CHECK ((chain_index - COALESCE(previous_index, 0::bigint)) = 1 OR (chain_index - COALESCE(previous_index, 0::bigint)) > 1000000000),
  constraint receipts_previous_digest_check CHECK (octet_length(previous_digest) = 32)
);

CREATE TRIGGER receipts_kept BEFORE DELETE OR UPDATE ON receipts FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER receipts_emptied BEFORE TRUNCATE ON receipts FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

create table audit_entries (
  account_id uuid not null,
  id uuid not null,
  at timestamp with time zone not null,
  action text not null,
  actor_kind text not null,
  actor_id text,
  actor_name text,
  actor_root text,
  subject_kind text,
  subject_id text,
  before jsonb,
  after jsonb,
  detail jsonb default '{}'::jsonb not null,
  address text,
  request_id text,
  constraint audit_entries_pkey PRIMARY KEY (account_id, id),
  constraint audit_entries_actor_kind_check CHECK (actor_kind = ANY (ARRAY['person'::text, 'token'::text, 'operator'::text, 'service'::text])),
  constraint audit_entries_check CHECK ((actor_kind = 'service'::text) = (actor_id IS NULL)),
  constraint audit_entries_check1 CHECK ((actor_kind = 'token'::text) = (actor_root IS NOT NULL)),
  constraint audit_entries_check2 CHECK ((subject_kind IS NULL) = (subject_id IS NULL))
);

CREATE INDEX audit_entries_newest ON audit_entries USING btree (account_id, at DESC, id DESC);

CREATE INDEX audit_entries_by_action ON audit_entries USING btree (account_id, action, at DESC, id DESC);

CREATE TRIGGER audit_entries_kept BEFORE DELETE OR UPDATE ON audit_entries FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER audit_entries_emptied BEFORE TRUNCATE ON audit_entries FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

create table webhooks (
  account_id uuid not null,
  id uuid not null,
  url text not null,
  origin text not null,
  event_types text[] not null,
  status text default 'ACTIVE'::text not null,
  token_id uuid,
  root_id uuid,
  user_id text,
  maker_name text not null,
  secret bytea,
  secret_key_id text,
  old_secret bytea,
  old_secret_key_id text,
  old_secret_until timestamp with time zone,
  failures integer default 0 not null,
  slow_since timestamp with time zone,
  due_at timestamp with time zone,
  lease uuid,
  leased_until timestamp with time zone,
  disabled_at timestamp with time zone,
  disabled_reason text,
  created_at timestamp with time zone not null,
  constraint webhooks_pkey PRIMARY KEY (account_id, id),
  constraint webhooks_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint webhooks_account_id_token_id_fkey FOREIGN KEY (account_id, token_id) REFERENCES tokens(account_id, id),
  constraint webhooks_check CHECK (num_nonnulls(token_id, user_id) = 1),
  constraint webhooks_check1 CHECK ((token_id IS NULL) = (root_id IS NULL)),
  constraint webhooks_check10 CHECK (lease IS NULL OR due_at IS NOT NULL),
  constraint webhooks_check2 CHECK ((status = 'DELETED'::text) = (secret IS NULL)),
  constraint webhooks_check3 CHECK ((secret IS NULL) = (secret_key_id IS NULL)),
  constraint webhooks_check4 CHECK (num_nulls(old_secret, old_secret_key_id, old_secret_until) = ANY (ARRAY[0, 3])),
  constraint webhooks_check5 CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL)),
  constraint webhooks_check6 CHECK (status <> 'ACTIVE'::text OR disabled_at IS NULL),
  constraint webhooks_check7 CHECK (status <> 'DISABLED'::text OR disabled_at IS NOT NULL),
  constraint webhooks_check8 CHECK (due_at IS NULL OR status = 'ACTIVE'::text),
  constraint webhooks_check9 CHECK ((lease IS NULL) = (leased_until IS NULL)),
  constraint webhooks_event_types_check CHECK (cardinality(event_types) > 0),
  constraint webhooks_failures_check CHECK (failures >= 0),
  constraint webhooks_status_check CHECK (status = ANY (ARRAY['ACTIVE'::text, 'DISABLED'::text, 'DELETED'::text])),
  constraint webhooks_url_check CHECK (char_length(url) <= 2048)
);

CREATE INDEX webhooks_due ON webhooks USING btree ((slow_since IS NOT NULL), due_at) WHERE due_at IS NOT NULL;

CREATE UNIQUE INDEX webhooks_leased ON webhooks USING btree (account_id, origin) WHERE lease IS NOT NULL;

CREATE INDEX webhooks_deleted ON webhooks USING btree (account_id, id) WHERE status = 'DELETED'::text;

CREATE INDEX webhooks_sealed ON webhooks USING btree (secret_key_id);

CREATE INDEX webhooks_sealed_before ON webhooks USING btree (old_secret_key_id) WHERE old_secret_key_id IS NOT NULL;

create table webhook_deliveries (
  account_id uuid not null,
  id uuid not null,
  webhook_id uuid not null,
  event_number bigint not null,
  event_type text not null,
  body text not null,
  status text default 'PENDING'::text not null,
  attempts integer default 0 not null,
  due_at timestamp with time zone,
  attempted_at timestamp with time zone,
  answer_status smallint,
  answer_error text,
  created_at timestamp with time zone not null,
  resolved_at timestamp with time zone,
  constraint webhook_deliveries_pkey PRIMARY KEY (account_id, id),
  constraint webhook_deliveries_account_id_webhook_id_fkey FOREIGN KEY (account_id, webhook_id) REFERENCES webhooks(account_id, id),
  constraint webhook_deliveries_attempts_check CHECK (attempts >= 0),
  constraint webhook_deliveries_check CHECK ((status = 'PENDING'::text) = (due_at IS NOT NULL)),
  constraint webhook_deliveries_check1 CHECK ((status = 'PENDING'::text) = (resolved_at IS NULL)),
  constraint webhook_deliveries_check2 CHECK (attempted_at >= created_at AND resolved_at >= created_at),
  constraint webhook_deliveries_event_number_check CHECK (event_number >= 1),
  constraint webhook_deliveries_status_check CHECK (status = ANY (ARRAY['PENDING'::text, 'DELIVERED'::text, 'FAILED'::text]))
);

CREATE UNIQUE INDEX webhook_deliveries_event ON webhook_deliveries USING btree (account_id, webhook_id, event_number);

CREATE INDEX webhook_deliveries_due ON webhook_deliveries USING btree (account_id, webhook_id, due_at, event_number) WHERE status = 'PENDING'::text;

CREATE INDEX webhook_deliveries_oldest ON webhook_deliveries USING btree (created_at);

CREATE TRIGGER webhook_deliveries_body BEFORE UPDATE ON webhook_deliveries FOR EACH ROW WHEN (old.account_id IS DISTINCT FROM new.account_id OR old.id IS DISTINCT FROM new.id OR old.webhook_id IS DISTINCT FROM new.webhook_id OR old.event_number IS DISTINCT FROM new.event_number OR old.event_type IS DISTINCT FROM new.event_type OR old.body IS DISTINCT FROM new.body OR old.created_at IS DISTINCT FROM new.created_at) EXECUTE FUNCTION refuse_change();

create sequence operator_positions;

create table operator_outbox (
  account_id uuid not null,
  number bigint not null,
  position bigint default nextval('operator_positions'::regclass) not null,
  constraint operator_outbox_pkey PRIMARY KEY (account_id, number),
  constraint operator_outbox_account_id_number_fkey FOREIGN KEY (account_id, number) REFERENCES events(account_id, number)
);

CREATE INDEX operator_outbox_position ON operator_outbox USING btree ("position");

create table operator_events (
  number bigint not null,
  account text not null,
  type text not null,
  resource_id text not null,
  job_id text,
  data json not null,
  created_at timestamp with time zone not null,
  constraint operator_events_pkey PRIMARY KEY (number),
  constraint operator_events_number_check CHECK (number >= 1)
);

CREATE TRIGGER operator_events_kept BEFORE UPDATE ON operator_events FOR EACH ROW EXECUTE FUNCTION refuse_change();

create table operator_head (
  id boolean default true not null,
  first_event bigint default 1 not null,
  last_event bigint default 0 not null,
  run text default server_run() not null,
  runs bigint default 1 not null,
  constraint operator_head_pkey PRIMARY KEY (id),
  constraint operator_head_check CHECK (last_event >= (first_event - 1)),
  constraint operator_head_first_event_check CHECK (first_event >= 1),
  constraint operator_head_id_check CHECK (id)
);

create table operator_webhook (
  id boolean default true not null,
  url text not null,
  secret bytea not null,
  secret_key_id text not null,
  old_secret bytea,
  old_secret_key_id text,
  old_secret_until timestamp with time zone,
  cursor bigint not null,
  attempts integer default 0 not null,
  due_at timestamp with time zone not null,
  attempted_at timestamp with time zone,
  answer_status smallint,
  answer_error text,
  lease uuid,
  leased_until timestamp with time zone,
  created_at timestamp with time zone not null,
  constraint operator_webhook_pkey PRIMARY KEY (id),
  constraint operator_webhook_attempts_check CHECK (attempts >= 0),
  constraint operator_webhook_check CHECK (num_nulls(old_secret, old_secret_key_id, old_secret_until) = ANY (ARRAY[0, 3])),
  constraint operator_webhook_check1 CHECK ((lease IS NULL) = (leased_until IS NULL)),
  constraint operator_webhook_cursor_check CHECK (cursor >= 0),
  constraint operator_webhook_id_check CHECK (id),
  constraint operator_webhook_url_check CHECK (char_length(url) <= 2048)
);

create table agent_registrations (
  account_id uuid not null,
  token_id uuid not null,
  agent_name text,
  address text not null,
  user_agent text not null,
  claim_digest bytea not null,
  poll_interval integer not null,
  polled_at timestamp with time zone,
  created_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  claimed_at timestamp with time zone,
  scopes text[],
  delivered_at timestamp with time zone,
  constraint agent_registrations_pkey PRIMARY KEY (account_id),
  constraint agent_registrations_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(account_id),
  constraint agent_registrations_account_id_token_id_fkey FOREIGN KEY (account_id, token_id) REFERENCES tokens(account_id, id),
  constraint agent_registrations_agent_name_check CHECK (char_length(agent_name) >= 1 AND char_length(agent_name) <= 100),
  constraint agent_registrations_check CHECK (expires_at > created_at),
  constraint agent_registrations_check1 CHECK ((claimed_at IS NULL) = (scopes IS NULL)),
  constraint agent_registrations_check2 CHECK (delivered_at IS NULL OR claimed_at IS NOT NULL),
  constraint agent_registrations_claim_digest_check CHECK (octet_length(claim_digest) = 32),
  constraint agent_registrations_poll_interval_check CHECK (poll_interval >= 5)
);

CREATE INDEX agent_registrations_unclaimed ON agent_registrations USING btree (expires_at) WHERE claimed_at IS NULL;

create table claim_attempts (
  account_id uuid not null,
  email text not null,
  page_digest bytea not null,
  code_digest bytea not null,
  link_digest bytea not null,
  wrong_codes smallint not null,
  created_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  constraint claim_attempts_pkey PRIMARY KEY (account_id),
  constraint claim_attempts_account_id_fkey FOREIGN KEY (account_id) REFERENCES agent_registrations(account_id),
  constraint claim_attempts_check CHECK (expires_at > created_at),
  constraint claim_attempts_code_digest_check CHECK (octet_length(code_digest) = 32),
  constraint claim_attempts_email_check CHECK (email = lower(email) AND char_length(email) >= 3 AND char_length(email) <= 254),
  constraint claim_attempts_link_digest_check CHECK (octet_length(link_digest) = 32),
  constraint claim_attempts_page_digest_check CHECK (octet_length(page_digest) = 32),
  constraint claim_attempts_wrong_codes_check CHECK (wrong_codes >= 0 AND wrong_codes <= 5)
);

create table sweeps (
  job text not null,
  seen_at timestamp with time zone not null,
  succeeded_at timestamp with time zone,
  took_ms integer,
  failed_at timestamp with time zone,
  failures integer default 0 not null,
  error text,
  constraint sweeps_pkey PRIMARY KEY (job),
  constraint sweeps_failures_check CHECK (failures >= 0)
);

create table write_probes (
  slot smallint not null,
  written_at timestamp with time zone not null,
  constraint write_probes_pkey PRIMARY KEY (slot)
);
