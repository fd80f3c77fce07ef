-- Makes the two roles of Countersign, where they are missing, and lets them into the database that you are connected to.
-- Run it before the first `migrate`, as a superuser or the administrator of a managed Postgres; docs/database.md shows how.
--
--   countersign_owner  owns the tables: `migrate` connects as it (DATABASE_MIGRATE_URL), and nothing else does
--   countersign_app    runs the service (DATABASE_URL), with the rights that `migrate` gives it and no others
--
-- Neither has a password yet, so neither can sign in by one: give them theirs afterwards, in psql by `\password`.

do $$
begin
  if not exists (select from pg_roles where rolname = 'countersign_owner') then
    create role countersign_owner login;
  end if;
  if not exists (select from pg_roles where rolname = 'countersign_app') then
    create role countersign_app login;
  end if;
  execute format('revoke all on database %I from public', current_database());
  execute format('grant connect, create on database %I to countersign_owner', current_database());
  execute format('grant connect on database %I to countersign_app', current_database());
end $$;

revoke create on schema public from public;
grant usage, create on schema public to countersign_owner;
