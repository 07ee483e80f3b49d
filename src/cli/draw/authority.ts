/** `writgate authority`: what the file would change of what is in force. */

import { canonical } from '../../canonical.ts';
import type { Difference } from '../../trust/propose.ts';
import { clean, clip, type Paint, WIDTH } from './text.ts';

/** A value on one line; a whole new entry is shown whole, because people sign it. */
const shown = (value: unknown): string => clean(typeof value === 'string' ? value : canonical(value));

export function drawDifferences(differences: readonly Difference[], paint: Paint): string {
  return differences
    .map(({ path, before, after }) => {
      if (before === undefined) return paint.add(`+ ${path}: ${shown(after)}`);
      if (after === undefined) return paint.remove(`- ${path}: ${shown(before)}`);
      const one = `~ ${path}: ${shown(before)} → ${shown(after)}`;
      if (one.length <= WIDTH) return paint.warn(one);
      return [
        paint.warn(`~ ${path}:`),
        paint.remove(`    - ${shown(before)}`),
        paint.add(`    + ${shown(after)}`),
      ].join('\n');
    })
    .join('\n');
}

/** The one line that every command that plans says when the file and what is in force are not the same. */
export function differsLine(differences: readonly Difference[]): string {
  const [first] = differences;
  const more = differences.length > 1 ? ` and ${differences.length - 1} more` : '';
  return clip(`writgate.yaml differs from what is in force (${first?.path}${more}); see \`writgate authority\``, WIDTH);
}
