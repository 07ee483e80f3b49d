/** The command line: one file a command, one table of them, and one place where failures become words and exit codes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { CODES, Failure } from '../errors.ts';
import { packageFolder } from '../store/database.ts';
import { addAdopt } from './adopt.ts';
import { addApprove, addRefuse } from './approve.ts';
import { addAuthority } from './authority.ts';
import { addCheck } from './check.ts';
import { type AddCommand, INTERRUPTED } from './command.ts';
import { addDelivery } from './delivery.ts';
import { addEvidence } from './evidence.ts';
import { type Face, terminalFace } from './face.ts';
import { addFeed } from './feed.ts';
import { addInit } from './init.ts';
import { addLedger } from './ledger.ts';
import { addPerson } from './person.ts';
import { addPlan } from './plan.ts';
import { addProtect } from './protect.ts';
import { addRequest } from './request.ts';
import { addRun } from './run.ts';
import { addSecret } from './secret.ts';
import { addServe } from './serve.ts';
import { addSign } from './sign.ts';
import { addStatus } from './status.ts';
import { addTrace } from './trace.ts';

/** In the order in which a newcomer needs them. */
const COMMANDS: readonly AddCommand[] = [
  addInit,
  addCheck,
  addPlan,
  addApprove,
  addRefuse,
  addRun,
  addStatus,
  addTrace,
  addPerson,
  addRequest,
  addAdopt,
  addProtect,
  addSecret,
  addDelivery,
  addLedger,
  addEvidence,
  addFeed,
  addServe,
  addAuthority,
  addSign,
];

export function programFor(face: Face): Command {
  const program = new Command('writgate')
    .description('An identity integration platform in which nothing changes without a writ.')
    .configureOutput({ writeOut: (text) => face.out(text.trimEnd()), writeErr: (text) => face.err(text.trimEnd()) })
    .configureHelp({ helpWidth: 100 })
    .exitOverride();
  const { version } = JSON.parse(readFileSync(join(packageFolder(), 'package.json'), 'utf8')) as { version: string };
  program.version(version);
  for (const add of COMMANDS) add(program, face);
  program.addHelpText('after', '\nStart:\n  $ writgate init --demo && writgate plan && writgate run');
  return program;
}

/** @returns the exit code */
export async function main(args: readonly string[], face: Face): Promise<number> {
  process.exitCode = 0;
  try {
    await programFor(face).parseAsync(args, { from: 'user' });
    return Number(process.exitCode);
  } catch (thrown) {
    // Help and version end so too; what was wrong with the arguments has been said.
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : 2;
    if (face.interrupted.aborted) {
      face.err('interrupted; nothing that was sealed is lost');
      return INTERRUPTED;
    }
    const failure =
      thrown instanceof Failure ? thrown : new Failure('internal', 'a defect in Writgate', { cause: thrown });
    if (args.includes('--json'))
      face.out(JSON.stringify({ problem: { code: failure.code, detail: failure.message } }, null, 2));
    face.err(`${face.paint.remove('writgate:')} ${failure.message}`);
    if (failure.code === 'internal')
      face.err(String(failure.cause instanceof Error ? failure.cause.stack : (failure.cause ?? CODES.internal.remedy)));
    return failure.exit;
  }
}

/** Run by `bin/writgate.js`. The first Ctrl-C stops in order, the second at once: then the roles see that we are gone. */
export async function start(): Promise<void> {
  const interruption = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (interruption.signal.aborted) process.exit(INTERRUPTED);
      interruption.abort();
    });
  }
  // `writgate … | head` closes stdout early, which is no failure.
  process.stdout.on('error', (thrown: NodeJS.ErrnoException) => process.exit(thrown.code === 'EPIPE' ? 0 : 1));
  process.exitCode = await main(process.argv.slice(2), terminalFace(interruption.signal));
}
