/**
 * The distinct answers of the birthright rules, by number. A million people share some hundred of them, so each person
 * holds one number instead of a row for every entitlement.
 */
import type { Queryable } from '../store/database.ts';
import type { Desired } from './birthright.ts';

export interface Answers {
  /** 0: nothing. A number that is new is not in the database before `save`. */
  numberOf(desired: readonly Desired[]): number;
  save(tx: Queryable): Promise<void>;
}

const keyOf = (desired: readonly Desired[]): string =>
  desired
    .map(({ entitlement, rule }) => `${entitlement} ${rule}`)
    .sort()
    .join('\n');

/** @param tx holds the lock of this tenant's identities: numbers are given here */
export async function readAnswers(tx: Queryable, tenant: string): Promise<Answers> {
  const rows = await tx.query<{ number: number; desired: Desired[] }>(
    `select number, jsonb_agg(jsonb_build_object('entitlement', entitlement, 'rule', rule)) as desired
       from birthright where tenant = $1 group by number`,
    [tenant],
  );
  const numbers = new Map([['', 0], ...rows.map(({ number, desired }) => [keyOf(desired), number] as const)]);
  let last = rows.reduce((most, { number }) => Math.max(most, number), 0);
  let unsaved: (Desired & { readonly number: number })[] = [];
  /** As the rules give them, in their order: most people's answer was met before, and need not be sorted. */
  const met = new Map<string, number>();
  const place = (desired: readonly Desired[]): number => {
    const key = keyOf(desired);
    let number = numbers.get(key);
    if (number === undefined) {
      number = last += 1;
      numbers.set(key, number);
      for (const { entitlement, rule } of desired) unsaved.push({ number, entitlement, rule });
    }
    return number;
  };
  return {
    numberOf(desired) {
      let raw = '';
      for (const { entitlement, rule } of desired) raw += `${entitlement} ${rule}\n`;
      let number = met.get(raw);
      if (number === undefined) met.set(raw, (number = place(desired)));
      return number;
    },
    async save(db) {
      await db.query(
        'insert into birthright (tenant, number, entitlement, rule) select $1, * from unnest($2::int[], $3::text[], $4::text[])',
        [
          tenant,
          unsaved.map(({ number }) => number),
          unsaved.map(({ entitlement }) => entitlement),
          unsaved.map(({ rule }) => rule),
        ],
      );
      unsaved = [];
    },
  };
}
