/** What a careful colleague would say about a plan before anybody signs. Computed, never typed. */
import type { Roster } from '../approval/roster.ts';
import type { Authority } from '../authority/authority.ts';
import { ADDING } from '../writ/tuple.ts';
import { type Leaf, privilegeOf } from './change.ts';

export interface Critic {
  add(leaf: Leaf): void;
  notes(): readonly string[];
}

/** Nobody reads more grants than this one by one. */
const GRANTS_NAMED = 100;

export function openCritique(authority: Authority, roster: Roster): Critic {
  const owners = new Map<string, string>();
  for (const [name, { owner, deputy }] of Object.entries(authority.connectors)) {
    owners.set(owner, `owner of connector ${name}`);
    if (deputy !== undefined && !owners.has(deputy)) owners.set(deputy, `deputy of connector ${name}`);
  }
  owners.set(authority.owner, 'owner of Writgate itself');
  const members = new Set(roster.people.map(({ person }) => person));
  const stopped = new Set<string>();
  const endless: string[] = [];
  let unnamed = 0;
  const byEntitlement = new Map<string, number>();

  return {
    add(leaf) {
      const { effect, entitlement, subject } = leaf;
      if (ADDING.has(effect)) {
        if (effect !== 'grant' || leaf.until !== null || privilegeOf(authority, leaf) !== 'high') return;
        if (endless.length === GRANTS_NAMED) unnamed += 1;
        else endless.push(`gives ${leaf.object} the privileged ${entitlement} without an end`);
      } else if (effect === 'disable') {
        if (subject !== null && (owners.has(subject.key) || members.has(subject.key))) stopped.add(subject.key);
      } else if (effect === 'revoke' && entitlement !== null) {
        byEntitlement.set(entitlement, (byEntitlement.get(entitlement) ?? 0) + 1);
      }
    },
    notes() {
      const notes: string[] = [];
      for (const key of stopped) {
        const role = owners.get(key);
        if (role !== undefined) notes.push(`stops ${key}, ${role}: name another one`);
        if (members.has(key)) notes.push(`stops ${key}, an approver: the roster needs another one`);
      }
      notes.push(...endless);
      if (unnamed > 0) notes.push(`gives ${unnamed} more privileged entitlements without an end`);
      for (const [entitlement, count] of byEntitlement) {
        if (count >= 10) notes.push(`takes ${entitlement} from ${count} accounts at once`);
      }
      return notes;
    },
  };
}
