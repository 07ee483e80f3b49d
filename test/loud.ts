/**
 * The last word of a test run: what this machine could not run, and why. A skipped test is easily taken for a passed
 * one; so whatever was skipped is listed after the numbers, and not somewhere above them.
 */
import { relative } from 'node:path';
import type { Reporter, TestCase, TestModule } from 'vitest/node';

/** How our tests say that something is missing. */
const REASON = /^(SKIPPED|NOT TESTED|counterpart missing)\b.*/gm;

export interface Skipped {
  readonly file: string;
  /** Names of the groups, from outside, of a skipped test; without the test's own name. */
  readonly group: string;
}

/** @returns lines; none when nothing was skipped and nobody gave a reason */
export function loudList(skipped: readonly Skipped[], reasons: readonly string[]): readonly string[] {
  if (skipped.length === 0 && reasons.length === 0) return [];
  const counts = new Map<string, number>();
  for (const { file, group } of skipped) {
    const where = group === '' ? file : `${file}: ${group}`;
    counts.set(where, (counts.get(where) ?? 0) + 1);
  }
  return [
    `!! NOT RUN on this machine: ${skipped.length} tests. REQUIRE_COUNTERPARTS=1 makes what is missing an error.`,
    ...[...counts].map(([where, count]) => `!!   ${where} (${count})`),
    ...[...new Set(reasons)].map((reason) => `!!   ${reason}`),
  ];
}

function groupOf(test: TestCase): string {
  const names: string[] = [];
  for (let at: TestCase['parent'] = test.parent; at.type === 'suite'; at = at.parent) names.unshift(at.name);
  return names.join(' › ');
}

export default class Loud implements Reporter {
  readonly #reasons: string[] = [];

  onUserConsoleLog({ content }: { readonly content: string }): void {
    this.#reasons.push(...(content.match(REASON) ?? []));
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const skipped = modules.flatMap((module) =>
      [...module.children.allTests('skipped')].map((test) => ({
        file: relative(process.cwd(), module.moduleId),
        group: groupOf(test),
      })),
    );
    const lines = loudList(skipped, this.#reasons);
    if (lines.length > 0) process.stderr.write(`\n${lines.join('\n')}\n`);
    const count = (state: 'passed' | 'failed') =>
      modules.reduce((sum, module) => sum + [...module.children.allTests(state)].length, 0);
    // A file that could not even be loaded has no test that failed, and is a failure all the same.
    const broken = modules.filter((module) => module.state() === 'failed' && module.errors().length > 0).length;
    process.stdout.write(
      `\n${count('passed')} passed, ${count('failed') + broken} failed, ${skipped.length} skipped\n`,
    );
  }
}
