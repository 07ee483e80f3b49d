-- Accounts that `writgate protect` put out of reach, by name: the mark on the account itself is worked out anew at each
-- read of its target, and an account that is deleted and made again is still meant.
create table protection (
  tenant  text not null,
  system  text not null,
  login   text not null,
  since   timestamptz not null,
  primary key (tenant, system, login)
);
-- Whatever was ever put out of reach: the next read of the target used to forget it.
insert into protection (tenant, system, login, since)
select distinct e.tenant, e.refs ->> 'system', l.login, now()
  from ledger_entry e, jsonb_array_elements_text(e.body::jsonb -> 'logins') as l(login)
 where e.kind = 'account.protected' and e.body is not null and e.refs ? 'system';
