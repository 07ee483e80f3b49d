/** `writgate adopt SYSTEM`: accounts that nobody wrote down, and whose they seem to be. */
import type { Adoptable } from '../../api/contract.ts';
import { counted, type Paint, table } from './text.ts';

export function drawAdoptable(system: string, accounts: readonly Adoptable[], paint: Paint): string {
  if (accounts.length === 0) return `No unmanaged accounts on ${system}.`;
  const rows = table(
    accounts.map(({ login, state, person, name, why }) => [
      login,
      state,
      person === null ? 'nobody' : `${name} (${person})`,
      why,
    ]),
    2,
    [24, 10, 32],
  );
  const theirs = accounts.filter(({ person }) => person !== null).length;
  return [
    `${counted(accounts.length, 'unmanaged account')} on ${system}, ${theirs} of which belong to exactly one person:`,
    ...rows.map((row, index) => (accounts[index]?.person === null ? paint.dim(row) : row)),
    'Nothing was changed.',
    ...(theirs > 0
      ? [`Next: writgate adopt ${system} --all · writgate adopt ${system} LOGIN · writgate protect ${system} LOGIN`]
      : [`Next: writgate protect ${system} LOGIN`]),
  ].join('\n');
}
