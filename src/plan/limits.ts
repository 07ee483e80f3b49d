/** What makes a plan refuse itself: count, share, people, privilege weight, for grants as well as removals (M15). */
import type { Authority } from '../authority/authority.ts';
import { ADDING } from '../writ/tuple.ts';
import { type Leaf, privilegeOf, tupleOf, WEIGHT } from './change.ts';

export interface Existing {
  /** Managed accounts and the grants on them, as observed. */
  readonly things: number;
}

export interface LimitFinding {
  readonly limit: 'count' | 'share' | 'subjects' | 'weight';
  readonly message: string;
}

/** All limits that the changes break; empty: the plan may go on. */
export function checkLimits(
  authority: Authority,
  leaves: readonly Leaf[],
  existing: Existing,
): readonly LimitFinding[] {
  const findings: LimitFinding[] = [];
  for (const side of ['grants', 'removals'] as const) {
    const own = leaves.filter((leaf) => ADDING.has(leaf.effect) === (side === 'grants'));
    if (own.length === 0) continue;
    const bound = authority.limits[side];
    const verb = side === 'grants' ? 'adds' : 'removes';
    if (own.length > bound.count) {
      findings.push({ limit: 'count', message: `${verb} ${own.length} accounts and grants, limit ${bound.count}` });
    }
    // Basis points; of nothing, anything is the whole.
    const share = existing.things === 0 ? 10_000 : Math.floor((own.length * 10_000) / existing.things);
    // A share of a handful says nothing: ten people who join a company of twelve are no incident.
    if (bound.share !== undefined && share > bound.share && own.length > 10) {
      const percent = (basisPoints: number) => `${Math.round(basisPoints / 10) / 10} %`;
      findings.push({
        limit: 'share',
        message: `${verb} ${own.length} of ${existing.things} accounts and grants (${percent(share)}), limit ${percent(bound.share)}`,
      });
    }
    const people = new Set(own.map((leaf) => leaf.person ?? leaf.object)).size;
    if (bound.subjects !== undefined && people > bound.subjects) {
      findings.push({ limit: 'subjects', message: `concerns ${people} people, limit ${bound.subjects}` });
    }
    const weight = own.reduce((sum, leaf) => sum + WEIGHT[privilegeOf(authority, tupleOf(leaf))], 0);
    if (bound.weight !== undefined && weight > bound.weight) {
      findings.push({ limit: 'weight', message: `weighs ${weight} by privilege, limit ${bound.weight}` });
    }
  }
  return findings;
}
