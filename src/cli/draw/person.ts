/** `writgate person X`: what this person has, why, since when, by whose approval. */
import type { PersonShown } from '../../api/contract.ts';
import { causeOf } from './change.ts';
import { type Paint, table, wrap } from './text.ts';

export function drawPerson(person: PersonShown, paint: Paint): string {
  const known = Object.entries(person.attributes).filter(([name, value]) => name !== 'name' && value !== null && value !== '');
  const lines = [
    `${paint.bold(person.name)}  ${person.person}  ${person.state}`,
    ...wrap(known.map(([name, value]) => `${name} ${value}`).join(' · '), '  '),
    ...person.affiliations.flatMap(({ feed, key, state, quarantine }) =>
      wrap(`${feed}:${key}  ${state}${quarantine === null ? '' : `  QUARANTINED: ${quarantine}`}`, '  '),
    ),
  ];
  if (person.terminated !== null) lines.push(...wrap(`terminated ahead of HR: ${person.terminated}`, '  ').map(paint.remove));
  if (person.accounts.length === 0) lines.push('No accounts.');
  for (const { system, login, state, management, holds } of person.accounts) {
    lines.push(`${system}  ${login}  ${state}${management === 'managed' ? '' : `, ${management}`}`);
    const rows = holds.map(({ entitlement, since, causes, until, change, approvedBy }) => [
      entitlement,
      `since ${since.slice(0, 10)}`,
      causes.length === 0 ? 'NO CAUSE' : causes.map((cause) => causeOf({ cause })).join(', '),
      [
        until === null ? '' : `until ${until.slice(0, 16).replace('T', ' ')}`,
        change === null ? 'not granted by Writgate' : change,
        approvedBy.length === 0 ? '' : `signed by ${approvedBy.join(', ')}`,
      ]
        .filter((text) => text !== '')
        .join(', '),
    ]);
    lines.push(...table(rows, 2, [24, 16, 34]));
  }
  return lines.join('\n');
}
