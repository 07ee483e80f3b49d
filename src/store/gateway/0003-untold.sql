-- What an attempt is called in the ledger, until its outcome is told there: a gateway that starts again tells of those that
-- one before it did not live to tell of. Not indexed: it is written twice for each change, and asked for once a start.
alter table spent add column untold jsonb;
