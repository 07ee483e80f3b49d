/**
 * Control's API: on the data folder's Unix socket for the command line, and on a loopback port with a bearer token for
 * everybody else. One table of routes; a handler takes checked input and answers a shape of `contract.ts`.
 */
import { timingSafeEqual } from 'node:crypto';
import { chmod, mkdir, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import fastify, { type FastifyInstance } from 'fastify';
import { z } from 'zod';
import { Failure } from '../errors.ts';
import type { Control } from '../role/control.ts';
import { ROUTES } from './contract.ts';
import { HANDLERS, type Handler, STREAMS } from './handlers.ts';
import { problemOf } from './problem.ts';

export interface ServeOptions {
  readonly socket: string;
  readonly listen: { readonly host: string; readonly port: number; readonly token: string } | null;
}

function checked(handler: Pick<Handler, 'input'>, input: unknown): Record<string, never> {
  const parsed = handler.input.safeParse(input);
  if (parsed.success) return parsed.data as Record<string, never>;
  throw new Failure('wrong-use', z.prettifyError(parsed.error).replaceAll('\n', ' '));
}

function build(control: Control, token: string | null): FastifyInstance {
  const app = fastify({ logger: false, bodyLimit: 8 << 20 });
  app.setErrorHandler((thrown, _request, reply) => {
    const known = (thrown as { statusCode?: number }).statusCode;
    const problem = problemOf(
      thrown instanceof Failure || known === undefined || known >= 500
        ? thrown
        : new Failure('wrong-use', (thrown as Error).message),
    );
    if (problem.code === 'internal') console.error(thrown);
    void reply.status(problem.status).type('application/problem+json').send(problem);
  });
  app.setNotFoundHandler((request, reply) => {
    const problem = problemOf(new Failure('not-found', `no ${request.method} ${request.url}`));
    void reply.status(404).type('application/problem+json').send(problem);
  });
  if (token !== null) {
    const wanted = Buffer.from(`Bearer ${token}`);
    app.addHook('onRequest', async (request) => {
      const given = Buffer.from(request.headers.authorization ?? '');
      if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) {
        throw new Failure('token-refused', 'this port wants the bearer token of the data folder');
      }
    });
  }
  for (const [name, handler] of Object.entries(HANDLERS)) {
    const { method, path } = ROUTES[name as keyof typeof HANDLERS];
    app.route({
      method,
      url: path,
      handler: async (request) =>
        handler.answer(
          control,
          checked(handler, { ...(request.body as object), ...(request.params as object) }) as never,
        ),
    });
  }
  for (const [name, stream] of Object.entries(STREAMS)) {
    const { method, path } = ROUTES[name as keyof typeof STREAMS];
    app.route({
      method,
      url: path,
      handler: (request, reply) => {
        const input = checked(stream, request.body ?? {});
        const stop = new AbortController();
        reply.raw.on('close', () => stop.abort());
        const lines = new Readable({ read() {} });
        const say = (line: unknown) => lines.push(`${JSON.stringify(line)}\n`);
        stream
          .answer(control, input as never, (progress) => say({ progress }), stop.signal)
          .then((result) => say({ result }))
          .catch((thrown) => {
            const problem = problemOf(thrown);
            if (problem.code === 'internal') console.error(thrown);
            say({ problem });
          })
          .finally(() => lines.push(null));
        void reply.type('application/x-ndjson').send(lines);
      },
    });
  }
  return app;
}

const answers = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createConnection(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });

export async function startApi(
  control: Control,
  { socket, listen }: ServeOptions,
): Promise<{ close(): Promise<void> }> {
  await mkdir(dirname(socket), { recursive: true, mode: 0o700 });
  if (await answers(socket))
    throw new Failure('already-running', `Writgate runs on this data folder already (${socket})`);
  await rm(socket, { force: true });
  const local = build(control, null);
  await local.listen({ path: socket });
  await chmod(socket, 0o600);
  const remote = listen === null ? null : build(control, listen.token);
  if (remote && listen) await remote.listen({ host: listen.host, port: listen.port });
  return {
    async close() {
      await Promise.all([local.close(), remote?.close()]);
      await control.close();
    },
  };
}
