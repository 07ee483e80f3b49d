/** What a command has to do with a person: where it writes, whether it may ask, how it tells that it is still at work. */
import { cancel, confirm, isCancel, password, text } from '@clack/prompts';
import { type Clock, every, type Random, systemAmbient } from '../clock.ts';
import { Failure } from '../errors.ts';
import { COLOURED, clip, type Paint, PLAIN, pageWidth } from './draw/text.ts';

export interface Face {
  /** For the answer: stdout. */
  out(text: string): void;
  /** For what is said beside it: stderr. */
  err(text: string): void;
  readonly paint: Paint;
  /** Whether somebody sits there and can answer. */
  readonly canAsk: boolean;
  /** stderr is a terminal, on which one line can be written over. */
  readonly canRewrite: boolean;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly random: Random;
  /** All of stdin; for secrets, which never stand in arguments. */
  readInput(): Promise<string>;
  /** Aborts at Ctrl-C. */
  readonly interrupted: AbortSignal;
}

export function terminalFace(interrupted: AbortSignal): Face {
  const { env, stdin, stdout, stderr } = process;
  // https://no-color.org: present and not empty.
  const isColoured = stdout.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  return {
    out: (line) => void stdout.write(`${line}\n`),
    err: (line) => void stderr.write(`${line}\n`),
    paint: isColoured ? COLOURED : PLAIN,
    canAsk: stdin.isTTY === true && stdout.isTTY === true,
    canRewrite: stderr.isTTY === true && env['TERM'] !== 'dumb',
    environment: env,
    ...systemAmbient,
    async readInput() {
      const chunks: Buffer[] = [];
      for await (const chunk of stdin) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks).toString('utf8');
    },
    interrupted,
  };
}

/* ---- progress ----------------------------------------------------------------------------------------------------------- */

export interface Progress {
  say(line: string): void;
  end(): void;
}

/** Nobody needs to hear of what takes less. */
const QUIET_MS = 1_000;
/** Where lines cannot be written over, more of them are only noise. */
const EVERY_MS = 2_000;

/** Says what is under way, once it has taken longer than a second. */
export function openProgress(face: Face): Progress {
  const startedAt = face.clock.now();
  let newest: string | null = null;
  let shown = false;
  let lastAt = 0;
  const show = (): void => {
    const now = face.clock.now();
    if (newest === null || now - startedAt < QUIET_MS) return;
    if (!face.canRewrite) {
      if (lastAt > 0 && now - lastAt < EVERY_MS) return;
      face.err(`${newest} …`);
      newest = null;
    } else {
      const seconds = `${Math.floor((now - startedAt) / 1000)} s`;
      process.stderr.write(`\r\u001b[2K${clip(`${newest} … ${seconds}`, pageWidth(process.stderr) - 1)}`);
      shown = true;
    }
    lastAt = now;
  };
  const stop = every(face.clock, 250, show);
  return {
    say(line) {
      newest = line;
      show();
    },
    end() {
      stop();
      if (shown) process.stderr.write('\r\u001b[2K');
    },
  };
}

/* ---- questions ----------------------------------------------------------------------------------------------------------- */

async function answered<T>(asking: Promise<T>): Promise<Exclude<T, symbol>> {
  const answer = await asking;
  if (isCancel(answer)) {
    cancel('Nothing was changed.');
    throw new Failure('wrong-use', 'stopped at a question; nothing was changed');
  }
  return answer as Exclude<T, symbol>;
}

export const askText = (message: string, initialValue: string): Promise<string> =>
  answered(text({ message, initialValue }));
export const askSecret = (message: string): Promise<string> => answered(password({ message }));
export const askYes = (message: string): Promise<boolean> => answered(confirm({ message, initialValue: false }));
