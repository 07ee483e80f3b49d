-- Which id a group had when this gateway first used it: another one of the same name is another group.
create table pinned_group (
  tenant   text not null,
  system   text not null,
  name     text not null,
  id       text not null,
  at       timestamptz not null,
  primary key (tenant, system, name)
);

-- A first secret is sealed to whoever the authority names for delivery; the digest of the receipt inside tells that it was
-- opened. Null: nobody was named yet, and it is sealed to this gateway.
alter table first_secret add column receipt text;
