/** `writgate serve`: all roles, or one, until it is told to stop. */

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Option } from 'commander';
import { placeOf } from '../role/place.ts';
import { ROLES, type Role, supervise } from '../role/supervise.ts';
import { readProposal } from '../trust/propose.ts';
import { type AddCommand, describe } from './command.ts';
import { openProgress } from './face.ts';
import { type GlobalOptions, inForceAt, tellDiffering, whereOf } from './where.ts';

interface ServeOptions extends GlobalOptions {
  readonly role?: Role;
  readonly listen?: string;
}

export const addServe: AddCommand = (program, face) => {
  describe(
    program
      .command('serve')
      .description('Run all roles until Ctrl-C; commands beside it use them')
      .addOption(new Option('--role <role>', 'only this one').choices(ROLES))
      .option(
        '--listen <host:port>',
        'where the API listens for bearer tokens; local.listen in writgate.yaml otherwise',
      ),
    'writgate serve --listen 127.0.0.1:7400',
  ).action(async (options: ServeOptions) => {
    const where = await whereOf(options);
    const { folder, configFile } = where;
    await tellDiffering(where, face);
    const { authority, term, trustRoot } = await inForceAt(where, face);
    const roles = options.role === undefined ? ROLES : [options.role];
    const listen =
      options.listen ??
      (await readProposal(configFile).then(
        ({ local }) => local.listen,
        () => undefined,
      ));
    const tokenFile = join(folder, 'control', 'api.token');
    await mkdir(join(folder, 'control'), { recursive: true, mode: 0o700 });
    await writeFile(tokenFile, `${face.random(32).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' }).catch(
      (cause) => {
        if (cause.code !== 'EEXIST') throw cause;
      },
    );
    const startedAt = face.clock.now();
    const progress = openProgress(face);
    progress.say('starting');
    const supervised = supervise({
      folder,
      configFile,
      roles,
      ...(listen === undefined ? {} : { listen }),
      environment: face.environment,
      clock: face.clock,
      random: face.random,
      onLine: (role, line) => face.err(`${role}: ${line}`),
    });
    await supervised.ready.finally(progress.end);
    const took = `${((face.clock.now() - startedAt) / 1000).toFixed(1)} s`;
    if (options.json)
      face.out(
        JSON.stringify({
          ready: true,
          tenant: authority.tenant,
          authority: term.serial,
          roles,
          listen: listen ?? null,
        }),
      );
    else {
      face.out(
        `${authority.tenant}: ${roles.join(', ')} up in ${took}, authority ${term.serial}${trustRoot.demo ? ', DEMO' : ''}`,
      );
      if (roles.includes('control')) {
        face.out(`API: http://${listen} with the token in ${tokenFile}, and ${placeOf(folder).socket('api')}`);
      }
      face.out(`Logs: ${join(folder, 'log')}. Ctrl-C stops.`);
    }
    face.interrupted.addEventListener('abort', () => void supervised.stop(), { once: true });
    if (face.interrupted.aborted) await supervised.stop();
    const failure = await supervised.ended;
    if (failure) throw failure;
    face.err('stopped');
  });
};
