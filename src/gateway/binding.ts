/**
 * Whose account is this? Control's opinion does not count: the gateway binds a login to a person when it creates the
 * account under a writ, or when people signed an adoption; and it reads ids of accounts and groups itself.
 */
import { type Authority, protocolOf } from '../authority/authority.ts';
import { optionsOf } from '../authority/target.ts';
import { type Clock, type Instant, isoTime } from '../clock.ts';
import type { Call, Reply } from '../connector/contract.ts';
import { groupCommit } from '../store/batch.ts';
import type { Database } from '../store/database.ts';
import type { Catalogue } from './catalogue/contract.ts';

interface Key {
  readonly feed: string;
  readonly key: string;
}

export interface Bindings {
  /** The login that a target's id stands for, or null. */
  loginOf(system: string, id: string, connector: string): Promise<string | null>;
  /** The name on the system that a group's id stands for, or null. */
  entitlementOf(system: string, ref: string, connector: string): Promise<string | null>;
  /**
   * A name on a system is no identity: whoever may make groups there makes a second one of it. So the id is pinned, by
   * the authority where it names one, else by what this gateway found when it first used the group.
   * @param group its name on the system. @returns why the id may not stand for it, or null
   */
  strange(
    entitlement: string,
    group: { readonly system: string; readonly name: string; readonly id: string },
    connector: string,
  ): Promise<string | null>;
  subjectOf(system: string, login: string): Promise<Key | null>;
  /** Another account of this person on the system, or null. */
  otherAccount(system: string, login: string, subject: Key): Promise<string | null>;
  bind(system: string, login: string, id: string | null, subject: Key): Promise<void>;
}

interface Account {
  readonly system: string;
  readonly login: string;
}
interface Bound extends Account, Key {
  readonly id: string | null;
}
/** Names of systems have no blank. */
const accountKey = ({ system, login }: Account): string => `${system} ${login}`;

/** Company that a question or a binding waits for: each statement costs more than what is in it. */
const GATHER_MS = 5;

/** A name read from a target is believed this long; somebody could rename a group into another's place. */
const BELIEVE_MS = 5 * 60_000;

export function openBindings(
  database: Database,
  authority: () => Authority,
  catalogues: Readonly<Record<string, Catalogue>>,
  /** Performs a read that the gateway itself makes, with the credential of the connector that is acting. */
  read: (connector: string, call: Call) => Promise<Reply>,
  clock: Clock,
): Bindings {
  const bound = new Map<string, Key>();
  const believed = new Map<string, { name: Promise<string | null>; until: Instant }>();

  function resolve(kind: 'resolveObject' | 'resolveEntitlement', system: string, id: string, connector: string) {
    const key = `${kind} ${system} ${id}`;
    const known = believed.get(key);
    if (known && known.until > clock.now()) return known.name;
    const target = authority().targets[system];
    const catalogue = target && catalogues[protocolOf(target)];
    const question = target && catalogue?.[kind](id, optionsOf(target));
    if (!question) return Promise.resolve(null);
    const name = read(connector, question.call).then(
      (reply) => question.read(reply),
      () => null,
    );
    believed.set(key, { name, until: clock.now() + BELIEVE_MS });
    // What could not be read is not remembered.
    void name.then((found) => found === null && believed.delete(key));
    if (believed.size > 100_000) believed.clear();
    return name;
  }

  // Each question is asked after it came: those that come while one is under way are the next one.
  const subjectOf = groupCommit<Account, Key | null>(
    async (items) => {
      const rows = await database.query<Key & { at: number }>(
        `select u.at, b.feed, b.key
           from unnest($2::text[], $3::text[]) with ordinality as u(system, login, at)
           join binding b on b.tenant = $1 and b.system = u.system and b.login = u.login`,
        [authority().tenant, items.map(({ system }) => system), items.map(({ login }) => login)],
      );
      const found = new Map(rows.map(({ at, feed, key }) => [at, { feed, key }]));
      return items.map((_, index) => found.get(index + 1) ?? null);
    },
    { gather: { ms: GATHER_MS, clock } },
  );

  const otherAccount = groupCommit<Account & Key, string | null>(
    async (items) => {
      const rows = await database.query<{ at: number; login: string }>(
        `select u.at, min(b.login) as login
           from unnest($2::text[], $3::text[], $4::text[], $5::text[]) with ordinality as u(system, login, feed, key, at)
           join binding b on b.tenant = $1 and b.system = u.system and b.feed = u.feed and b.key = u.key and b.login <> u.login
          group by u.at`,
        [
          authority().tenant,
          items.map(({ system }) => system),
          items.map(({ login }) => login),
          items.map(({ feed }) => feed),
          items.map(({ key }) => key),
        ],
      );
      const found = new Map(rows.map(({ at, login }) => [at, login]));
      return items.map((_, index) => found.get(index + 1) ?? null);
    },
    { gather: { ms: GATHER_MS, clock } },
  );

  /** Durable when it resolves. @returns nothing of who has it: whoever bound a login first keeps it */
  const bind = groupCommit<Bound, void>(
    async (items) => {
      // One statement may touch a row once: a login that comes twice waits for the next.
      for (let rest = items; rest.length > 0; ) {
        const first = new Map<string, Bound>();
        for (const item of rest) if (!first.has(accountKey(item))) first.set(accountKey(item), item);
        const now = [...first.values()];
        const rows = await database.query<Account & Key>(
          `insert into binding (tenant, system, login, id, feed, key)
           select $1, u.* from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) as u(system, login, id, feed, key)
           on conflict (tenant, system, login) do update set id = coalesce(excluded.id, binding.id)
            where binding.feed = excluded.feed and binding.key = excluded.key
           returning system, login, feed, key`,
          [
            authority().tenant,
            now.map(({ system }) => system),
            now.map(({ login }) => login),
            now.map(({ id }) => id),
            now.map(({ feed }) => feed),
            now.map(({ key }) => key),
          ],
        );
        for (const { system, login, feed, key } of rows) bound.set(accountKey({ system, login }), { feed, key });
        rest = rest.filter((item) => first.get(accountKey(item)) !== item);
      }
      return items.map(() => undefined);
    },
    { gather: { ms: GATHER_MS, clock } },
  );

  /** A pin never changes, so that it may be remembered. */
  const pins = new Map<string, string>();
  const readPin = async (system: string, name: string): Promise<string | null> => {
    const pinned = await database.maybe<{ id: string }>(
      'select id from pinned_group where tenant = $1 and system = $2 and name = $3',
      [authority().tenant, system, name],
    );
    return pinned?.id ?? null;
  };

  async function strangeNow(
    entitlement: string,
    { system, name, id }: { readonly system: string; readonly name: string; readonly id: string },
    connector: string,
  ): Promise<string | null> {
    const remedy = (right: string) =>
      `where ${right} is the right one, write id: ${JSON.stringify(right)} in entitlements.${entitlement} and let it be approved (\`writgate authority approve\`)`;
    const signed = authority().entitlements[entitlement]?.id;
    if (signed !== undefined) {
      return signed === id
        ? null
        : `the group ${name} on ${system} has the id ${signed} by the authority, and this is ${id}; ${remedy(id)}`;
    }
    const place = `${system} ${name}`;
    let pinned = pins.get(place) ?? (await readPin(system, name));
    if (pinned === null) {
      const target = authority().targets[system];
      const question = target && catalogues[protocolOf(target)]?.findEntitlement(name, optionsOf(target));
      const found = question
        ? await read(connector, question.call).then(
            (reply) => question.read(reply),
            () => null,
          )
        : [id];
      if (found === null) return `${system} does not say how many groups are called ${name}; ${remedy(id)}`;
      if (found.length !== 1 || found[0] !== id) {
        return `${found.length} groups on ${system} are called ${name} (${found.join(', ')}), and none of them is pinned; take the others away, or, ${remedy(id)}`;
      }
      await database.query(
        'insert into pinned_group (tenant, system, name, id, at) values ($1, $2, $3, $4, $5) on conflict do nothing',
        [authority().tenant, system, name, id, isoTime(clock.now())],
      );
      pinned = await readPin(system, name);
    }
    if (pinned === null) return `the id of ${name} on ${system} could not be kept`;
    pins.set(place, pinned);
    return pinned === id
      ? null
      : `the group ${name} on ${system} was ${pinned} when it was first used, and this is ${id}; ${remedy(id)}`;
  }

  /** A hundred changes of one group that come at once find out once. */
  const asking = new Map<string, Promise<string | null>>();
  const strange: Bindings['strange'] = (entitlement, group, connector) => {
    const key = JSON.stringify([entitlement, group.system, group.name, group.id, connector]);
    const known = asking.get(key);
    if (known) return known;
    const answer = strangeNow(entitlement, group, connector).finally(() => asking.delete(key));
    asking.set(key, answer);
    return answer;
  };

  return {
    strange,
    loginOf: (system, id, connector) => resolve('resolveObject', system, id, connector),
    entitlementOf: (system, ref, connector) => resolve('resolveEntitlement', system, ref, connector),
    async subjectOf(system, login) {
      const known = bound.get(accountKey({ system, login }));
      if (known) return known;
      const found = await subjectOf({ system, login });
      // A binding never changes hands, so that it may be remembered; that there is none may not.
      if (found) bound.set(accountKey({ system, login }), found);
      return found;
    },
    otherAccount: (system, login, { feed, key }) => otherAccount({ system, login, feed, key }),
    async bind(system, login, id, { feed, key }) {
      await bind({ system, login, id, feed, key });
      if (id !== null) {
        believed.set(`resolveObject ${system} ${id}`, {
          name: Promise.resolve(login),
          until: clock.now() + BELIEVE_MS,
        });
      }
    },
  };
}
