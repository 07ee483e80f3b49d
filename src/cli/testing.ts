/** For tests: a terminal at which nobody sits, and which remembers what it was told. */
import { seeded } from '../approval/testing.ts';
import { systemClock } from '../clock.ts';
import { PLAIN } from './draw/text.ts';
import type { Face } from './face.ts';
import { main } from './main.ts';

export interface Told {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
}

/** Runs one command line. @param input what comes on stdin */
export async function tell(
  args: readonly string[],
  over: Partial<Face> & { readonly input?: string } = {},
): Promise<Told> {
  const out: string[] = [];
  const err: string[] = [];
  const { input = '', ...rest } = over;
  const face: Face = {
    out: (text) => void out.push(text),
    err: (text) => void err.push(text),
    paint: PLAIN,
    canAsk: false,
    canRewrite: false,
    environment: {},
    clock: systemClock,
    random: seeded(args.join(' ')),
    readInput: async () => input,
    interrupted: new AbortController().signal,
    ...rest,
  };
  const exit = await main(args, face);
  process.exitCode = 0;
  return { exit, out: out.join('\n'), err: err.join('\n') };
}
