/**
 * Whose account is this? Control's opinion does not count: the gateway binds a login to a person when it creates the
 * account under a writ, or when people signed an adoption; and it reads ids of accounts and groups itself.
 */
import { type Authority, protocolOf } from '../authority/authority.ts';
import { optionsOf } from '../authority/target.ts';
import { type Clock, type Instant, isoTime } from '../clock.ts';
import type { Call, Reply } from '../connector/contract.ts';
import type { Database } from '../store/database.ts';
import type { Catalogue } from './catalogue/contract.ts';

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
  subjectOf(system: string, login: string): Promise<{ readonly feed: string; readonly key: string } | null>;
  /** Another account of this person on the system, or null. */
  otherAccount(system: string, login: string, subject: { feed: string; key: string }): Promise<string | null>;
  bind(system: string, login: string, id: string | null, subject: { feed: string; key: string }): Promise<void>;
}

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
  const bound = new Map<string, { readonly feed: string; readonly key: string }>();
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

  /** A pin never changes, so that it may be remembered. */
  const pins = new Map<string, string>();
  const readPin = async (system: string, name: string): Promise<string | null> => {
    const pinned = await database.maybe<{ id: string }>(
      'select id from pinned_group where tenant = $1 and system = $2 and name = $3',
      [authority().tenant, system, name],
    );
    return pinned?.id ?? null;
  };

  async function strange(
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

  return {
    strange,
    loginOf: (system, id, connector) => resolve('resolveObject', system, id, connector),
    entitlementOf: (system, ref, connector) => resolve('resolveEntitlement', system, ref, connector),
    async subjectOf(system, login) {
      const known = bound.get(`${system} ${login}`);
      if (known) return known;
      const found = await database.maybe<{ feed: string; key: string }>(
        'select feed, key from binding where tenant = $1 and system = $2 and login = $3',
        [authority().tenant, system, login],
      );
      // A binding never changes hands, so that it may be remembered; that there is none may not.
      if (found) bound.set(`${system} ${login}`, found);
      return found;
    },
    async otherAccount(system, login, { feed, key }) {
      const found = await database.maybe<{ login: string }>(
        'select login from binding where tenant = $1 and system = $2 and feed = $3 and key = $4 and login <> $5 limit 1',
        [authority().tenant, system, feed, key, login],
      );
      return found?.login ?? null;
    },
    async bind(system, login, id, { feed, key }) {
      await database.query(
        `insert into binding (tenant, system, login, id, feed, key) values ($1, $2, $3, $4, $5, $6)
         on conflict (tenant, system, login) do update set id = coalesce(excluded.id, binding.id)
          where binding.feed = excluded.feed and binding.key = excluded.key`,
        [authority().tenant, system, login, id, feed, key],
      );
      if (id !== null) {
        believed.set(`resolveObject ${system} ${id}`, {
          name: Promise.resolve(login),
          until: clock.now() + BELIEVE_MS,
        });
      }
    },
  };
}
