-- Which id a group had when this gateway first used it: another one of the same name is another group.
create table pinned_group (
  tenant   text not null,
  system   text not null,
  name     text not null,
  id       text not null,
  at       timestamptz not null,
  primary key (tenant, system, name)
);
