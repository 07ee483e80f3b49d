-- The gateway's own database. Control has no login here, so nobody rewinds what was spent from outside.

-- Heads that only increase: the authority and the roster in force.
create table head (
  tenant  text not null,
  kind    text not null check (kind in ('authority', 'roster', 'trust-root')),
  serial  integer not null,
  digest  text not null,
  primary key (tenant, kind)
);

create table snapshot (
  tenant      text not null,
  feed        text not null,
  id          text not null,
  verdict     text not null,
  as_of       timestamptz,
  as_of_kind  text not null,
  received_at timestamptz not null,
  statement   text not null,
  facts       jsonb not null,
  primary key (tenant, feed, id)
);
create index snapshot_newest on snapshot (tenant, feed, received_at desc);

-- Which person (by feed and key) an account belongs to, learned from creates under a writ and from signed adoptions.
create table binding (
  tenant  text not null,
  system  text not null,
  login   text not null,
  id      text,
  feed    text not null,
  key     text not null,
  primary key (tenant, system, login)
);
create index binding_id on binding (tenant, system, id);
create index binding_subject on binding (tenant, system, feed, key);

-- A change of a plan is spent once. The reply is kept, so that a caller who was killed gets it again instead of a second effect.
create table spent (
  tenant      text not null,
  plan_digest text not null,
  seq         integer not null,
  tuple       jsonb not null,
  state       text not null check (state in ('reserved', 'done', 'refused', 'lost', 'down')),
  attempts    integer not null default 1,
  call_digest text not null,
  reply       jsonb,
  at          timestamptz not null,
  -- Whom it concerns, and why when people signed it: what they took away stays away until they give again.
  subject     text not null,
  cause       text not null,
  primary key (tenant, plan_digest, seq)
);
create index spent_subject on spent (tenant, subject);
create index spent_tuple on spent using gin (tuple jsonb_path_ops);

-- What was spent inside the automatic envelope, per rolling window. Each attempt counts, unless it certainly did nothing.
create table budget (
  tenant      text not null,
  side        text not null check (side in ('grants', 'removals')),
  plan_digest text not null,
  seq         integer not null,
  attempt     integer not null,
  subject     text not null,
  weight      integer not null,
  at          timestamptz not null,
  primary key (tenant, plan_digest, seq, attempt)
);
create index budget_window on budget (tenant, side, at);

-- The newest ledger head that this gateway has cosigned.
create table witnessed (
  origin text primary key,
  size   bigint not null,
  root   text not null
);

-- Entries that could not be sealed at once because the sequencer was away: removals go on, and are submitted later.
create table journal (
  id    bigint generated always as identity primary key,
  entry bytea not null,
  body  text not null,
  salt  text not null
);

-- First secrets of new accounts, sealed to this gateway's own key, until they are delivered once.
create table first_secret (
  tenant    text not null,
  system    text not null,
  login     text not null,
  sealed    text not null,
  made_at   timestamptz not null,
  primary key (tenant, system, login)
);
