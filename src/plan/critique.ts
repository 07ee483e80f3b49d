/** What a careful colleague would say about a plan before anybody signs. Computed, never typed. */
import type { Roster } from '../approval/roster.ts';
import type { Authority } from '../authority/authority.ts';
import { ADDING } from '../writ/tuple.ts';
import { type Leaf, privilegeOf, tupleOf } from './change.ts';

export function critique(authority: Authority, roster: Roster, leaves: readonly Leaf[]): readonly string[] {
  const notes: string[] = [];
  const removing = leaves.filter((leaf) => !ADDING.has(leaf.effect));
  const owners = new Map<string, string>();
  for (const [name, { owner, deputy }] of Object.entries(authority.connectors)) {
    owners.set(owner, `owner of connector ${name}`);
    if (deputy !== undefined && !owners.has(deputy)) owners.set(deputy, `deputy of connector ${name}`);
  }
  owners.set(authority.owner, 'owner of Writgate itself');
  const members = new Map(roster.people.map(({ person, name }) => [person, name]));

  const stopped = new Set(removing.filter((leaf) => leaf.effect === 'disable').map((leaf) => leaf.subject?.key ?? ''));
  for (const key of stopped) {
    const role = owners.get(key);
    if (role !== undefined) notes.push(`stops ${key}, ${role}: name another one`);
    if (members.has(key)) notes.push(`stops ${key}, an approver: the roster needs another one`);
  }
  const high = leaves.filter((leaf) => leaf.effect === 'grant' && privilegeOf(authority, tupleOf(leaf)) === 'high');
  for (const leaf of high) {
    if (leaf.until === null) notes.push(`gives ${leaf.object} the privileged ${leaf.entitlement} without an end`);
  }
  const byEntitlement = new Map<string, number>();
  for (const leaf of removing) {
    if (leaf.effect === 'revoke' && leaf.entitlement !== null) {
      byEntitlement.set(leaf.entitlement, (byEntitlement.get(leaf.entitlement) ?? 0) + 1);
    }
  }
  for (const [entitlement, count] of byEntitlement) {
    if (count >= 10) notes.push(`takes ${entitlement} from ${count} accounts at once`);
  }
  return notes;
}
