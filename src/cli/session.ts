/**
 * A command's conversation with control. Where Writgate is served on this data folder, that answers; where not, the
 * roles run for as long as the command does.
 */
import { Client } from 'undici';
import type { Progress as ProgressLine } from '../api/contract.ts';
import { ROUTES } from '../api/contract.ts';
import { CODES, type Code, Failure } from '../errors.ts';
import { placeOf } from '../role/place.ts';
import { isServed, type Supervised, supervise } from '../role/supervise.ts';
import { type Face, openProgress } from './face.ts';
import type { Where } from './where.ts';

export type Route = keyof typeof ROUTES;
type Input = Readonly<Record<string, unknown>>;

export interface Session {
  /** @throws Failure with the server's own code and words */
  ask<Result>(route: Route, input?: Input): Promise<Result>;
  /** The answer's text as it stands, for what is signed or hashed byte by byte. */
  askText(route: Route, input?: Input): Promise<string>;
  /** A long answer, with what is under way told on stderr. Aborting ends the request: control takes up nothing new. */
  follow<Result>(route: Route, signal: AbortSignal, input?: Input): Promise<Result>;
}

const AWAY = 'control went away before it had answered; `writgate status` says where things stand';

interface ProblemBody {
  readonly code?: string;
  readonly detail?: string;
}

const failureOf = ({ code, detail }: ProblemBody): Failure =>
  new Failure(
    code !== undefined && Object.hasOwn(CODES, code) ? (code as Code) : 'internal',
    detail ?? 'no reason was given',
  );

/** Runs `work` against the roles of this data folder, and stops afterwards what it had to start. */
export async function withSession<T>(where: Where, face: Face, work: (session: Session) => Promise<T>): Promise<T> {
  const { folder, configFile } = where;
  let own: Supervised | null = null;
  if (!(await isServed(folder))) {
    const progress = openProgress(face);
    progress.say('starting');
    own = supervise({
      folder,
      configFile,
      environment: face.environment,
      clock: face.clock,
      random: face.random,
      onLine: () => undefined,
    });
    try {
      await own.ready;
    } finally {
      progress.end();
    }
  }
  const client = new Client('http://writgate', {
    socketPath: placeOf(folder).socket('api'),
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  try {
    return await work(sessionOver(client, face));
  } finally {
    await client.destroy();
    await own?.stop();
  }
}

function sessionOver(client: Client, face: Face): Session {
  async function request(route: Route, input: Input, signal?: AbortSignal) {
    const { method, path } = ROUTES[route];
    const rest = { ...input };
    const filled = path.replace(/:([a-z]+)/g, (_, name: string) => {
      const value = String(rest[name]);
      delete rest[name];
      return encodeURIComponent(value);
    });
    const isPost = method === 'POST';
    const answer = await client
      .request({
        method,
        path: filled,
        ...(isPost ? { headers: { 'content-type': 'application/json' }, body: JSON.stringify(rest) } : {}),
        ...(signal ? { signal } : {}),
      })
      .catch((cause) => {
        if (signal?.aborted) throw cause;
        throw new Failure('peer-lost', `control does not answer (${cause.code ?? cause.message})`, { cause });
      });
    if (answer.statusCode >= 400) throw failureOf((await answer.body.json().catch(() => ({}))) as ProblemBody);
    return answer.body;
  }

  return {
    ask: async (route, input = {}) => JSON.parse(await (await request(route, input)).text()),
    askText: async (route, input = {}) => (await request(route, input)).text(),
    async follow<Result>(route: Route, signal: AbortSignal, input: Input = {}) {
      const progress = openProgress(face);
      progress.say('under way');
      try {
        let rest = '';
        for await (const chunk of (await request(route, input, signal)).setEncoding('utf8')) {
          const lines = (rest + chunk).split('\n');
          rest = lines.pop() ?? '';
          for (const text of lines) {
            const line = JSON.parse(text) as ProgressLine<Result>;
            if ('progress' in line) progress.say(line.progress);
            else if ('problem' in line) throw failureOf(line.problem);
            else return line.result;
          }
        }
      } catch (thrown) {
        if (thrown instanceof Failure || signal.aborted) throw thrown;
        throw new Failure('peer-lost', AWAY, { cause: thrown });
      } finally {
        progress.end();
      }
      throw new Failure('peer-lost', AWAY);
    },
  };
}
