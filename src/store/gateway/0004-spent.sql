-- A change's row is written when it is spent and again when it is settled; none of the columns that the second write
-- touches is indexed, so that with room in the page it costs no index anything.
alter table spent set (fillfactor = 60);

-- What is asked by tuple is asked of one account: its twin in the same plan, and when it was disabled or let in.
-- An index over all of every tuple cost each write more than all other indexes together.
drop index spent_tuple;
create index spent_twin on spent (tenant, plan_digest, (tuple ->> 'object'));
create index spent_account on spent (tenant, (tuple ->> 'object'))
  where tuple ->> 'effect' in ('create', 'enable', 'disable');
