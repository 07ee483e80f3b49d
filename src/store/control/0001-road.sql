-- The control role's database: what Writgate believes. Nothing in it opens a target; the gateway believes none of it.
-- Tenant comes first in every key, so that the tables shard.

-- What is in force, as the roster signed it; the newest serial counts.
create table authority (
  tenant      text not null,
  serial      integer not null,
  digest      text not null,
  document    text not null,
  in_force_at timestamptz not null,
  primary key (tenant, serial)
);

-- Snapshot statements, signed by the gateway.
create table snapshot (
  tenant      text not null,
  feed        text not null,
  id          text not null,
  verdict     text not null check (verdict in ('accepted', 'stale', 'held')),
  as_of       timestamptz,
  as_of_kind  text not null,
  received_at timestamptz not null,
  records     integer not null,
  raw_digest  text not null,
  statement   text not null,
  findings    jsonb not null,
  primary key (tenant, feed, id)
);
create index snapshot_newest on snapshot (tenant, feed, received_at desc);

-- A person has an id of ours, never reused.
create sequence person_number;
create table person (
  tenant     text not null,
  id         text not null,
  state      text not null,
  attributes jsonb not null,
  created_at timestamptz not null,
  primary key (tenant, id)
);

-- An affiliation: one record of one feed, as the last accepted snapshot has it.
create table affiliation (
  tenant      text not null,
  feed        text not null,
  key         text not null,
  person      text,
  snapshot    text not null,
  line        integer not null,
  row_digest  text not null,
  state       text not null,
  -- The next date on which the lifecycle table answers differently, without any change of the record.
  state_until date,
  attributes  jsonb not null,
  -- Why this record is set aside; its person is frozen: no grant, no removal.
  quarantine  text,
  primary key (tenant, feed, key)
);
create index affiliation_person on affiliation (tenant, person);

-- Why somebody should hold something. A grant goes only when its last cause goes.
create table cause (
  tenant      text not null,
  person      text not null,
  entitlement text not null,
  kind        text not null check (kind in ('birthright', 'request', 'exception')),
  ref         text not null,
  reason      text,
  by          text,
  starts_at   timestamptz not null,
  ends_at     timestamptz,
  primary key (tenant, person, entitlement, kind, ref)
);

-- People who must lose everything now, ahead of HR, by an approved exception.
create table termination (
  tenant   text not null,
  person   text not null,
  reason   text not null,
  by       text not null,
  since    timestamptz not null,
  primary key (tenant, person)
);

-- Observed state of the targets.
create table account (
  tenant      text not null,
  system      text not null,
  login       text not null,
  id          text not null,
  person      text,
  management  text not null check (management in ('managed', 'unmanaged', 'protected')),
  state       text not null check (state in ('active', 'disabled')),
  attributes  jsonb not null,
  disabled_at timestamptz,
  observed_at timestamptz not null,
  primary key (tenant, system, login)
);
create index account_person on account (tenant, person);

create table held (
  tenant      text not null,
  system      text not null,
  login       text not null,
  entitlement text not null,
  observed_at timestamptz not null,
  primary key (tenant, system, login, entitlement)
);

-- A login once given to a person is his, also after the account is gone: a leaver's name never passes to somebody else.
create table login (
  tenant  text not null,
  system  text not null,
  login   text not null,
  person  text not null,
  primary key (tenant, system, login)
);
create index login_person on login (tenant, person, system);

-- Frozen plans. `header` holds the exact canonical bytes whose digest is signed.
create sequence plan_number;
create table plan (
  tenant      text not null,
  number      integer not null,
  risk        text not null check (risk in ('low', 'normal', 'high', 'removal', 'authority')),
  digest      text not null,
  content     text not null,
  header      text not null,
  size        integer not null,
  state       text not null check (state in ('open', 'refused', 'superseded', 'done')),
  role        text,
  people      integer not null,
  -- Notes for whoever looks before signing; and, for a refused plan, why and the way out.
  critique    jsonb not null,
  refusal     jsonb,
  created_at  timestamptz not null,
  primary key (tenant, number)
);

-- One effect on one account or grant. `leaf` holds the exact canonical bytes under the plan's Merkle root.
create table change (
  tenant       text not null,
  plan         integer not null,
  seq          integer not null,
  leaf         text not null,
  system       text not null,
  login        text not null,
  effect       text not null,
  entitlement  text,
  person       text,
  cause        text not null,
  stage        text not null,
  -- Sequence numbers in this plan, and plans with changes for the same person, that must be applied before.
  after        integer[] not null default '{}',
  waits        integer[] not null default '{}',
  decision     jsonb,
  writ         text,
  receipt      jsonb,
  verification jsonb,
  attempt      integer not null default 0,
  -- How many later looks are booked for a proven removal.
  rechecks     integer not null default 0,
  next_at      timestamptz not null,
  updated_at   timestamptz not null,
  note         text,
  primary key (tenant, plan, seq)
);
create index change_ready on change (tenant, stage, next_at);
create index change_object on change (tenant, system, login);
create index change_person on change (tenant, person);

-- The exact bytes that people sign, and their signatures.
create table request (
  tenant     text not null,
  plan       integer not null,
  digest     text not null,
  bytes      text not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  primary key (tenant, plan, digest)
);
create table approval (
  tenant     text not null,
  plan       integer not null,
  request    text not null,
  person     text not null,
  verdict    text not null check (verdict in ('approve', 'refuse')),
  reason     text,
  armored    text not null,
  at         timestamptz not null,
  primary key (tenant, plan, request, person)
);

create table writ (
  tenant     text not null,
  id         text not null,
  plan       integer not null,
  bytes      text not null,
  expires_at timestamptz not null,
  primary key (tenant, id)
);

-- Domain transactions write here; the sequencer drains it into the ledger. Bodies stay erasable, the log holds commitments.
create table outbox (
  id    bigint generated always as identity primary key,
  entry bytea not null,
  body  text not null,
  salt  text not null
);
-- What `run` and `serve` show about the last planning, for people.
create table planning (
  tenant  text not null,
  at      timestamptz not null,
  report  jsonb not null,
  primary key (tenant, at)
);
create table ledger_head (
  tenant  text primary key,
  size    bigint not null,
  root    text not null
);
create table ledger_entry (
  tenant text not null,
  index  bigint not null,
  kind   text not null,
  refs   jsonb not null,
  body   text,
  salt   text,
  primary key (tenant, index)
);
create index ledger_entry_refs on ledger_entry using gin (refs jsonb_path_ops);
