/** `writgate trace P8.1`: one change's whole chain, each station with its place in the ledger. */
import type { Trace } from '../../api/contract.ts';
import { whatOf } from './change.ts';
import { type Paint, WIDTH, wrap } from './text.ts';

export function drawTrace({ change, lines }: Trace, paint: Paint): string {
  const who = [change.name, change.subject].filter((text) => text !== null).join(', ');
  const drawn = lines.flatMap(({ station, text, entry }) => {
    const place = entry === null ? '' : `#${entry}`;
    const wrapped = wrap(text, station.padEnd(10));
    const last = wrapped.at(-1) ?? '';
    // The number of the entry stands at the right edge, where the eye can run down all of them.
    const isTight = last.length + place.length + 2 > WIDTH;
    const rows = isTight && place !== '' ? [...wrapped, ' '.repeat(WIDTH - place.length) + place] : wrapped;
    const placed = isTight || place === '' ? rows : [...rows.slice(0, -1), last.padEnd(WIDTH - place.length) + place];
    return station === 'status' ? placed.map(change.stage === 'verified' ? paint.add : paint.warn) : placed;
  });
  const head = `${change.change}  ${change.system}  ${whatOf(change)}${who === '' ? '' : `  (${who})`}`;
  return [...wrap(head, '', 6).map(paint.bold), ...drawn].join('\n');
}
