/** What makes a plan refuse itself: count, share, people, privilege weight, for grants as well as removals (M15). */
import type { Authority } from '../authority/authority.ts';
import { ADDING } from '../writ/tuple.ts';
import { type Leaf, privilegeOf, WEIGHT } from './change.ts';

export interface Existing {
  /** Managed accounts and the grants on them, as observed. */
  readonly things: number;
}

export interface LimitFinding {
  readonly limit: 'count' | 'share' | 'subjects' | 'weight';
  readonly message: string;
}

export interface Tally {
  /** Changes in the order of their plan: those of one person follow each other. */
  add(leaf: Leaf): void;
  /**
   * All limits that the changes break; empty: the plan may go on.
   * @param existing asked only where it matters: counting a million accounts takes seconds
   */
  findings(existing: () => Promise<Existing>): Promise<readonly LimitFinding[]>;
}

const SIDES = ['grants', 'removals'] as const;

export function tallyLimits(authority: Authority): Tally {
  const sums = {
    grants: { count: 0, weight: 0, people: 0, last: '' },
    removals: { count: 0, weight: 0, people: 0, last: '' },
  };
  return {
    add(leaf) {
      const sum = sums[ADDING.has(leaf.effect) ? 'grants' : 'removals'];
      const person = leaf.person ?? leaf.object;
      sum.count += 1;
      sum.weight += WEIGHT[privilegeOf(authority, leaf)];
      if (person !== sum.last) sum.people += 1;
      sum.last = person;
    },
    async findings(existing) {
      const findings: LimitFinding[] = [];
      for (const side of SIDES) {
        const { count, weight, people } = sums[side];
        if (count === 0) continue;
        const bound = authority.limits[side];
        const verb = side === 'grants' ? 'adds' : 'removes';
        if (count > bound.count) {
          findings.push({ limit: 'count', message: `${verb} ${count} accounts and grants, limit ${bound.count}` });
        }
        // A share of a handful says nothing: ten people who join a company of twelve are no incident.
        if (bound.share !== undefined && count > 10) {
          const { things } = await existing();
          // Basis points; of nothing, anything is the whole.
          const share = things === 0 ? 10_000 : Math.floor((count * 10_000) / things);
          const percent = (basisPoints: number) => `${Math.round(basisPoints / 10) / 10} %`;
          const message = `${verb} ${count} of ${things} accounts and grants (${percent(share)}), limit ${percent(bound.share)}`;
          if (share > bound.share) findings.push({ limit: 'share', message });
        }
        if (bound.subjects !== undefined && people > bound.subjects) {
          findings.push({ limit: 'subjects', message: `concerns ${people} people, limit ${bound.subjects}` });
        }
        if (bound.weight !== undefined && weight > bound.weight) {
          findings.push({ limit: 'weight', message: `weighs ${weight} by privilege, limit ${bound.weight}` });
        }
      }
      return findings;
    },
  };
}
