/** What every command has: help with an example and its exit codes, `--json`, and one way to give its answer. */
import { type Command, Option } from 'commander';
import { clean } from './draw/text.ts';
import type { Face } from './face.ts';
import type { GlobalOptions } from './where.ts';

/** A command adds itself to the program. */
export type AddCommand = (program: Command, face: Face) => void;

/** Exit codes beyond 0 and those of failures (`docs/errors.md`), which every command has. */
export type Exits = Readonly<Partial<Record<number, string>>>;

/** 128 + SIGINT, as a shell says it. */
export const INTERRUPTED = 130;

const COMMON: Exits = { 1: 'it failed', 2: 'wrong use or configuration' };

/** Where a command works and how it answers: on every command, before or after its name. */
export const commonOptions = (command: Command): Command =>
  command
    .addOption(new Option('-c, --config <file>', 'the configuration').default('writgate.yaml').env('WRITGATE_CONFIG'))
    .option('--json', 'answer as JSON');

/** @param example one line, as it is typed */
export function describe(command: Command, example: string, exits: Exits = {}): Command {
  const codes = Object.entries({ 0: 'done', ...COMMON, ...exits }).map(
    ([code, meaning]) => `  ${code.padEnd(4)}${meaning}`,
  );
  return commonOptions(command).addHelpText('after', `\nExample:\n  $ ${example}\n\nExit codes:\n${codes.join('\n')}`);
}

/** Gives the answer: drawn for people, or exactly as it is for programs. Names are made harmless before they are drawn. */
export function answer<T>(
  face: Face,
  options: Pick<GlobalOptions, 'json'>,
  value: T,
  draw: (value: T) => string,
): void {
  face.out(options.json ? JSON.stringify(value, null, 2) : draw(clean(value)));
}

/** The exit code of a command that did what it was asked, and has something to say by it. */
export function exitWith(code: number): void {
  process.exitCode = code;
}
