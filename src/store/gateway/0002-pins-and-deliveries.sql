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

-- From whom people's signatures took what the attested record still gave, and have not given again since. Only more
-- signatures give to them; nobody's word about why it was taken counts, only that the record did not ask for it.
create table taken (
  tenant   text not null,
  subject  text not null,
  -- An account was stopped, so that only an account ends it.
  account  boolean not null,
  at       timestamptz not null,
  primary key (tenant, subject)
);
insert into taken (tenant, subject, account, at)
select t.tenant, t.subject, bool_or(t.tuple ->> 'effect' in ('disable', 'delete')), max(t.at) from spent t
 where t.cause like 'exception %' and t.state in ('done', 'lost', 'reserved')
   and t.tuple ->> 'effect' in ('revoke', 'disable', 'delete')
   and not exists (select 1 from spent g
                    where g.tenant = t.tenant and g.subject = t.subject and g.at > t.at and g.state = 'done'
                      and g.cause <> 'automatic' and g.tuple ->> 'effect' in ('create', 'enable'))
 group by t.tenant, t.subject;
