-- What planning need not look at again: who was found in order, and of whom nothing changed since.

-- Persons to look at from `due` on. A planning looks at whom it finds here and at nobody else, and takes away what it
-- read once it finds no difference. Rows are only ever added and deleted: nobody waits for anybody, and what is noted
-- while a planning looks is another row than those that it read.
create table touched (
  tenant text not null,
  due    timestamptz not null default '-infinity',
  id     bigint generated always as identity,
  person text not null,
  primary key (tenant, due, id)
);

-- The distinct answers of the birthright rules. A million people share some hundred of them; each person has one's number.
create table birthright (
  tenant      text not null,
  number      integer not null,
  entitlement text not null,
  rule        text not null,
  primary key (tenant, number, entitlement, rule)
);
-- 0: nothing. Null: the rules were not asked yet, or have no answer.
alter table person add column birthright integer;
create index person_created on person (tenant, created_at);

-- Written anew by the next planning, which looks at everybody.
delete from cause where kind = 'birthright';
alter table cause drop constraint cause_kind_check;
alter table cause add constraint cause_kind_check check (kind in ('request', 'exception'));
insert into touched (tenant, person) select tenant, id from person;

-- All causes of a person, by rule or by people.
create view every_cause as
  select tenant, person, entitlement, kind, ref, ends_at from cause
  union all
  select p.tenant, p.id, b.entitlement, 'birthright', b.rule, null
    from person p join birthright b on b.tenant = p.tenant and b.number = p.birthright;

-- Noted by the database and not by those who write, so that nobody can forget it.
create function touch_persons() returns trigger language plpgsql as $$
begin
  insert into touched (tenant, person) select distinct tenant, person from moved where person is not null;
  return null;
end $$;

create trigger affiliation_made after insert on affiliation
  referencing new table as moved for each statement execute function touch_persons();
create trigger affiliation_gone after delete on affiliation
  referencing old table as moved for each statement execute function touch_persons();
create trigger cause_made after insert on cause
  referencing new table as moved for each statement execute function touch_persons();
create trigger cause_gone after delete on cause
  referencing old table as moved for each statement execute function touch_persons();
create trigger termination_made after insert on termination
  referencing new table as moved for each statement execute function touch_persons();
create trigger termination_gone after delete on termination
  referencing old table as moved for each statement execute function touch_persons();
create trigger account_made after insert on account
  referencing new table as moved for each statement execute function touch_persons();
create trigger account_gone after delete on account
  referencing old table as moved for each statement execute function touch_persons();

-- Whose it was, and whose it is.
create function touch_both() returns trigger language plpgsql as $$
begin
  insert into touched (tenant, person)
    select tenant, person from was where person is not null
    union
    select tenant, person from moved where person is not null;
  return null;
end $$;

create trigger affiliation_changed after update on affiliation
  referencing old table as was new table as moved for each statement execute function touch_both();
create trigger cause_changed after update on cause
  referencing old table as was new table as moved for each statement execute function touch_both();
create trigger termination_changed after update on termination
  referencing old table as was new table as moved for each statement execute function touch_both();
create trigger account_changed after update on account
  referencing old table as was new table as moved for each statement execute function touch_both();

-- A grant says no person: its account does. An account that comes, goes or changes hands touches its person itself.
create function touch_holders() returns trigger language plpgsql as $$
begin
  insert into touched (tenant, person)
    select distinct a.tenant, a.person from moved m join account a using (tenant, system, login) where a.person is not null;
  return null;
end $$;

create trigger held_made after insert on held
  referencing new table as moved for each statement execute function touch_holders();
create trigger held_changed after update on held
  referencing new table as moved for each statement execute function touch_holders();
create trigger held_gone after delete on held
  referencing old table as moved for each statement execute function touch_holders();
