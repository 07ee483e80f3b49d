/**
 * Who may approve this request: members of the role, minus everyone who asked for it, carries it out or gains by it,
 * himself or through something that he controls. Ownership edges are ledger entries, so an auditor works out the same.
 */
import { type Digest, digestOf } from '../canonical.ts';
import { type ApprovalRequest, type Beneficiaries, isPerson } from './request.ts';
import { membersOf, type Roster } from './roster.ts';

/**
 * `owner` controls `owned`. Principals are person ids, `nhi:name` and `group:name`. Owner and deputy of a
 * connector, owner and members of a group that owns something, and a delegate (over the person for whom he acts) are
 * all edges.
 */
export interface Edge {
  readonly owner: string;
  readonly owned: string;
}

/** The parts of a request that decide who may approve it. */
export type Stakes = Pick<ApprovalRequest, 'role' | 'requester' | 'executors' | 'beneficiaries'>;

export interface Exclusion {
  readonly person: string;
  /** For people, after `not 103: `, as in `asked for it` or `controls nhi:crm-grant, which carries it out`. */
  readonly why: string;
}

export type Eligibility =
  | {
      readonly ok: true;
      /** Person ids, in the roster's order; not empty. */
      readonly candidates: readonly string[];
      readonly excluded: readonly Exclusion[];
      /** What this was worked out for; `checkApprovals` refuses it for another request or roster. */
      readonly basis: Digest;
    }
  | { readonly ok: false; readonly reason: string; readonly excluded: readonly Exclusion[] };

export function eligibility(input: {
  roster: Roster;
  request: Stakes;
  beneficiaries: Beneficiaries;
  ownership: readonly Edge[];
}): Eligibility {
  const { roster, request, beneficiaries, ownership } = input;
  const stop = (reason: string, excluded: readonly Exclusion[] = []): Eligibility => ({ ok: false, reason, excluded });

  if (beneficiaries.digest !== request.beneficiaries.digest || beneficiaries.count !== request.beneficiaries.count) {
    return stop('the beneficiaries are not those that the request commits to');
  }
  const owners = neighbours(ownership, 'owned', 'owner');
  const executors = new Set(request.executors.map((executor) => `nhi:${executor}`));
  for (const principal of [request.requester, ...executors]) {
    const unknown = unowned(principal, owners);
    if (unknown !== null) return stop(`nobody knows who owns ${unknown}, so nobody can be independent of it`);
  }

  const possessions = neighbours(ownership, 'owner', 'owned');
  const stake = (principal: string): string | null => {
    if (principal === request.requester) return 'asked for it';
    if (executors.has(principal)) return 'carries it out';
    return beneficiaries.has(principal) ? 'benefits from it' : null;
  };
  const candidates: string[] = [];
  const excluded: Exclusion[] = [];
  for (const member of membersOf(roster, request.role)) {
    const why = member.suspended ? 'is suspended' : interest(member.person, possessions, stake);
    if (why === null) candidates.push(member.person);
    else excluded.push({ person: member.person, why });
  }
  if (candidates.length === 0) return stop(`nobody of role ${request.role} is independent of this request`, excluded);
  return { ok: true, candidates, excluded, basis: eligibilityBasis(request, roster) };
}

/** Digest over everything in a request and a roster that eligibility depends on. */
export const eligibilityBasis = ({ role, requester, executors, beneficiaries }: Stakes, roster: Roster): Digest =>
  digestOf({ role, requester, executors, beneficiaries, roster: roster.digest });

/** The stake that a person has, himself or through the nearest thing that he controls; null when he has none. */
function interest(
  person: string,
  possessions: ReadonlyMap<string, readonly string[]>,
  stake: (principal: string) => string | null,
): string | null {
  for (const principal of reach(person, possessions)) {
    const why = stake(principal);
    if (why !== null) return principal === person ? why : `controls ${principal}, which ${why}`;
  }
  return null;
}

/** The first principal at or above this one from which no chain of owners leads to a person; null when all do. */
function unowned(principal: string, owners: ReadonlyMap<string, readonly string[]>): string | null {
  for (const above of reach(principal, owners)) {
    if (![...reach(above, owners)].some(isPerson)) return above;
  }
  return null;
}

/** `start` and all that can be reached from it, nearest first; a cycle ends. */
function reach(start: string, next: ReadonlyMap<string, readonly string[]>): ReadonlySet<string> {
  const seen = new Set([start]);
  // A Set iterates over what is added meanwhile, so this loop is the breadth-first walk.
  for (const principal of seen) for (const other of next.get(principal) ?? []) seen.add(other);
  return seen;
}

function neighbours(edges: readonly Edge[], from: keyof Edge, to: keyof Edge): ReadonlyMap<string, readonly string[]> {
  const map = new Map<string, string[]>();
  for (const edge of edges) {
    const list = map.get(edge[from]);
    if (list) list.push(edge[to]);
    else map.set(edge[from], [edge[to]]);
  }
  return map;
}
