/**
 * `npm run bench -- NAME [options]`: prints the machine, what the bench says of its phases, the peak memory of this
 * process, and on the last line the figure beside its goal. Without a name it lists what there is.
 */
import { cpus, loadavg, totalmem } from 'node:os';
import { benchApply } from './apply.ts';
import { benchDecide } from './decide.ts';
import { benchFeed } from './feed.ts';
import { benchLedger } from './ledger.ts';
import { benchReconcile } from './reconcile.ts';

/** Each prints its phases and returns its figure, one line. */
const BENCHES: Readonly<Record<string, { readonly says: string; run(args: string[]): Promise<string> }>> = {
  apply: { says: 'changes a second through the whole road, beside a bare script [--people 300]', run: benchApply },
  decide: { says: 'decisions a second, from memory and from the engine', run: benchDecide },
  feed: { says: 'an export of a million people becomes an attested snapshot', run: benchFeed },
  ledger: { says: 'entries made durable and checked a second', run: benchLedger },
  reconcile: {
    says: 'from a feed to stored plans, unchanged again, one changed [--people 100000]',
    run: benchReconcile,
  },
};

function machine(): string {
  const [cpu] = cpus();
  const load = loadavg().map((value) => value.toFixed(1));
  const memory = `${(totalmem() / 2 ** 30).toFixed(1)} GiB`;
  return `${cpus().length} × ${cpu?.model.trim()}, ${memory}, Node ${process.version}, load ${load.join(' ')}`;
}

const [name = '', ...args] = process.argv.slice(2);
const bench = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
if (bench === undefined) {
  if (name !== '') console.error(`there is no bench ${name}`);
  for (const [known, { says }] of Object.entries(BENCHES)) console.log(`npm run bench -- ${known.padEnd(10)} ${says}`);
  process.exitCode = name === '' ? 0 : 2;
} else {
  console.log(`machine   ${machine()}`);
  const figure = await bench.run(args);
  console.log(`memory    peak ${Math.round(process.resourceUsage().maxRSS / 1024)} MB in this process`);
  console.log(figure);
}
