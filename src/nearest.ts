/** "Did you mean": the known word that a typing mistake would have turned into `word`. */

/** Insertions, deletions, replacements and neighbours swapped (optimal string alignment). */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let least = Math.min(previous[column]! + 1, current[column - 1]! + 1, previous[column - 1]! + (same ? 0 : 1));
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        least = Math.min(least, before[column - 2]! + 1);
      }
      current.push(least);
    }
    before = previous;
    previous = current;
  }
  return previous[b.length]!;
}

/** @returns the nearest known word within a third of its length, or null. Words over 64 characters are no typing mistakes. */
export function nearest(word: string, known: Iterable<string>): string | null {
  let best: string | null = null;
  let bestDistance = Number.POSITIVE_INFINITY;
  const typed = word.slice(0, 64).toLowerCase();
  for (const candidate of known) {
    const away = distance(typed, candidate.slice(0, 64).toLowerCase());
    if (away < bestDistance && away <= Math.max(1, Math.floor(candidate.length / 3))) {
      best = candidate;
      bestDistance = away;
    }
  }
  return best;
}

/** `did you mean "x"?`, or the list of what there is when nothing is near. */
export function suggestion(word: string, known: Iterable<string>): string {
  const words = [...known];
  const near = nearest(word, words);
  if (near !== null) return `did you mean ${near}?`;
  if (words.length === 0) return 'there is none yet: add it, or remove this line';
  const shown = words.slice(0, 12).join(', ');
  return `known are: ${shown}${words.length > 12 ? ` and ${words.length - 12} more` : ''}`;
}
