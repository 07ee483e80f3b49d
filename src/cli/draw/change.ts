/** One change in words: a sign, what it does to whom, and where it stands. */
import type { ChangeSummary } from '../../api/contract.ts';
import { claimOf } from '../../authority/ownership.ts';
import type { Paint } from './text.ts';

type Effect = ChangeSummary['effect'];

/** `+` adds access, `-` takes it away, `~` alters, `=` only takes under management. */
const SIGN: Readonly<Record<Effect, string>> = {
  create: '+',
  enable: '+',
  grant: '+',
  update: '~',
  authenticate: '~',
  disable: '-',
  delete: '-',
  revoke: '-',
  adopt: '=',
  install: '!',
};

export const signOf = ({ effect }: Pick<ChangeSummary, 'effect'>): string => SIGN[effect];

export function paintOf({ effect }: Pick<ChangeSummary, 'effect'>, paint: Paint): (text: string) => string {
  const sign = SIGN[effect];
  return sign === '+' ? paint.add : sign === '-' ? paint.remove : paint.warn;
}

const MECHANISMS: Readonly<Record<string, string>> = { '@connections': 'open connections' };

/** `staff → sjacobs`, `account sjacobs`, `open connections of lgarcia`. */
export function whatOf({
  effect,
  entitlement,
  login,
}: Pick<ChangeSummary, 'effect' | 'entitlement' | 'login'>): string {
  switch (effect) {
    case 'grant':
    case 'revoke':
      return entitlement?.startsWith('@')
        ? `${MECHANISMS[entitlement] ?? entitlement.slice(1)} of ${login}`
        : `${entitlement} → ${login}`;
    case 'create':
      return `account ${login}`;
    case 'authenticate':
      return `sign-in of ${login}`;
    case 'install':
      return `${login}, of Writgate itself`;
    default:
      return `${effect} account ${login}`;
  }
}

/** `rule everyone`, `request R12ab by 103 (claimed)`, `until 17:00`. */
export const causeOf = ({ cause }: Pick<ChangeSummary, 'cause'>): string =>
  claimOf(cause).replace(/^birthright /, 'rule ');

/** Why it does not move, or what came of it: nothing for what is only on its way. */
export function noteOf({ stage, note, decision, verification }: ChangeSummary): string {
  const why = note ?? (stage === 'denied' || stage === 'held' ? decision?.reasons.join(', ') : null) ?? null;
  switch (stage) {
    case 'planned':
    case 'decided':
    case 'approved':
    case 'permitted':
      return note ?? '';
    case 'verified':
      return verification === null ? 'verified' : `verified: ${verification.saw}`;
    case 'contradicted':
      return `CONTRADICTED: ${verification?.saw ?? why ?? 'the target does not show it'}`;
    default:
      return why === null ? stage : `${stage}: ${why}`;
  }
}
