/** `writgate person X`: what this person has, why, since when, by whose approval. */
import type { PersonShown } from '../../api/contract.ts';
import { causeOf, noteOf, paintOf, signOf, whatOf } from './change.ts';
import { type Paint, wrap } from './text.ts';

export function drawPerson(person: PersonShown, paint: Paint): string {
  const known = Object.entries(person.attributes).filter(
    ([name, value]) => name !== 'name' && value !== null && value !== '',
  );
  const lines = [
    `${paint.bold(person.name)}  ${person.person}  ${person.state}`,
    ...wrap(known.map(([name, value]) => `${name} ${value}`).join(' · '), '  '),
    ...person.affiliations.flatMap(({ feed, key, state, quarantine }) =>
      wrap(`${feed}:${key}  ${state}${quarantine === null ? '' : `  QUARANTINED: ${quarantine}`}`, '  '),
    ),
  ];
  if (person.terminated !== null)
    lines.push(...wrap(`terminated ahead of HR: ${person.terminated}`, '  ').map(paint.remove));
  if (person.accounts.length === 0) lines.push('No accounts.');
  for (const { system, login, state, management, holds } of person.accounts) {
    lines.push(`${system}  ${login}  ${state}${management === 'managed' ? '' : `, ${management}`}`);
    const widths = [0, 1].map((column) =>
      Math.max(0, ...holds.map((held) => [held.entitlement, causesOf(held)][column]?.length ?? 0)),
    );
    for (const held of holds) {
      const { since, until, change, approvedBy } = held;
      const rest = [
        change === null ? 'not granted by Writgate' : change,
        until === null ? '' : `until ${until.slice(0, 16).replace('T', ' ')}`,
        approvedBy.length === 0 ? '' : `signed by ${approvedBy.join(', ')}`,
      ].filter((text) => text !== '');
      const cells = [
        held.entitlement.padEnd(widths[0] ?? 0),
        `since ${since.slice(0, 10)}`,
        causesOf(held).padEnd(widths[1] ?? 0),
        rest.join(', '),
      ];
      lines.push(...wrap(cells.join('  '), '  ', 6));
    }
  }
  if (person.lately.length > 0) lines.push('Lately');
  for (const change of person.lately) {
    const when = change.at.slice(0, 16).replace('T', ' ');
    const text = `${change.change}  ${when}  ${signOf(change)} ${change.system}  ${whatOf(change)}  ${causeOf(change)}  ${noteOf(change)}`;
    lines.push(...wrap(text.trimEnd(), '  ', 6).map(paintOf(change, paint)));
  }
  return lines.join('\n');
}

const causesOf = ({ causes }: { readonly causes: readonly string[] }): string =>
  causes.length === 0 ? 'NO CAUSE' : causes.map((cause) => causeOf({ cause })).join(', ');
