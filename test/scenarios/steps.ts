/**
 * The words of a scenario. A line is a step; what is indented below it is what Writgate said, or what the target shows to
 * whoever looks at it directly.
 */

import type { LIES } from '../../examples/company/lying-scim.ts';
import { ask, terminate } from '../../src/control/ask.ts';
import { showPlans } from '../../src/control/inspect.ts';
import { HOUR, PEOPLE, type Row, type World } from '../company/world.ts';

/** A scenario under way. */
export class Story {
  readonly world: World;
  #rows: readonly Row[] = PEOPLE;
  #ageHours = 1;
  /** What was said of each change, so that only news is told. */
  readonly #told = new Map<string, string>();

  constructor(world: World) {
    this.world = world;
  }

  /** Everybody has what he should, and nothing of that is told. */
  async begin(): Promise<void> {
    await this.world.plan();
    await this.run();
  }

  /** @returns what is to be shown below the line */
  async step(line: string): Promise<readonly string[]> {
    for (const [form, act] of STEPS) {
      const match = form.exec(line);
      if (match) return (await act(this, ...match.slice(1).map((word) => word ?? ''))) ?? [];
    }
    throw new Error(`no step is called "${line}"`);
  }

  async export(change: (rows: readonly Row[]) => readonly Row[], ageHours = this.#ageHours): Promise<void> {
    this.#rows = change(this.#rows);
    this.#ageHours = ageHours;
    await this.world.exportHr(this.#rows, ageHours * HOUR);
  }

  async plan(): Promise<readonly string[]> {
    // Exported a little later than the one before.
    this.#ageHours = Math.max(this.#ageHours - 0.01, 0.01);
    const report = await this.world.plan();
    const feeds = report.feeds.map(
      ({ feed, verdict, findings }) => `${feed} is ${[verdict, ...findings.map(({ code }) => code)].join(', ')}`,
    );
    const people = Object.entries(report.people).flatMap(([what, names]) =>
      names.length > 0 ? [`${what}: ${names.join(', ')}`] : [],
    );
    const plans = await this.world.plans();
    const lines = plans
      .filter(({ state }) => state === 'open' || state === 'refused')
      .flatMap(({ plan, risk, state, needs, refusal, changes }) => [
        `${plan} ${risk}, ${state === 'refused' ? `refused itself: ${refusal.map(({ message }) => message).join('; ')}` : needs ? `needs ${needs.people} of ${needs.role}` : 'inside the envelope'}`,
        ...changes.map(
          ({ change, effect, entitlement, login, cause }) =>
            `  ${change} ${effect} ${entitlement ?? 'account'} ${login} (${cause.replace(/\b([RT])[0-9a-f]{8}/, '$1…')})`,
        ),
      ]);
    return [...feeds, ...people, ...(lines.length > 0 ? lines : ['nothing to do'])];
  }

  /** @returns where the changes stand that this run brought somewhere else */
  async run(): Promise<readonly string[]> {
    await this.world.run();
    const { world } = this.world.control();
    const rows = await this.world.database.query<{ number: number }>('select number from plan order by number');
    const numbers = rows.map(({ number }) => number);
    const lines: string[] = [];
    for (const { state, changes } of await showPlans(this.world.database, world, numbers, 100)) {
      if (state === 'refused') continue;
      for (const { change, effect, entitlement, login, stage, note } of changes) {
        const line = `${change} ${effect} ${entitlement ?? 'account'} ${login}: ${stage}${note === null ? '' : `, ${note}`}`;
        if (this.#told.get(change) !== line && stage !== 'superseded') lines.push(line);
        this.#told.set(change, line);
      }
    }
    return lines.length > 0 ? lines : ['nothing to do'];
  }
}

/** The HR key of a person. */
const keyOf = (name: string): string => {
  const found = PEOPLE.find((row) => row.name === name || row.name.split(' ')[0] === name);
  if (!found) throw new Error(`nobody is called ${name}`);
  return found.id;
};

// biome-ignore lint/suspicious/noConfusingVoidType: most steps have nothing to show
type Act = (story: Story, ...words: string[]) => Promise<readonly string[] | void>;
const STEPS: readonly (readonly [form: RegExp, act: Act])[] = [
  // Signed before the first day.
  [/^given the authority says unmanaged: \S+$/, async () => {}],
  [
    /^given somebody makes (\S+) in (\S+) at the target by hand$/,
    async ({ world }, userName = '', group = '') => {
      await world.crm.post('/Users', { userName, active: true });
      await world.crm.join(userName, group);
    },
  ],
  [/^given the first day is done$/, (story) => story.begin()],
  [
    /^given HR says that (\S+) (\S+) joins (\S+) as (\d+)$/,
    (story, first = '', last, department = '', id = '') =>
      story.export((rows) => [...rows, { id, name: `${first} ${last}`, login: first.toLowerCase(), department }]),
  ],
  [
    /^given HR says that (\S+) moves to (\S+)$/,
    (story, name = '', department = '') =>
      story.export((rows) => rows.map((row) => (row.id === keyOf(name) ? { ...row, department } : row))),
  ],
  [
    /^given HR no longer lists (.+)$/,
    (story, names = '') => {
      const gone = names.split(/, | and /).map(keyOf);
      return story.export((rows) => rows.filter(({ id }) => !gone.includes(id)));
    },
  ],
  [/^given HR’s export is (\d+) hours old$/, (story, hours) => story.export((rows) => rows, Number(hours))],
  [
    /^given HR’s export breaks off after (\d+) people$/,
    (story, most) => story.export((rows) => rows.slice(0, Number(most))),
  ],
  [/^given the target (?:lies: )?(.+): \w.*$/, (story, lie) => story.world.crm.lie(lie as keyof typeof LIES)],
  [
    /^given (\S+) asks for (\S+) for (\S+), for (\d+) hours$/,
    async (story, by = '', entitlement = '', person = '', hours) => {
      await ask(story.world.control().world, {
        person: keyOf(person),
        by: keyOf(by),
        entitlement,
        forMs: Number(hours) * HOUR,
        reason: 'as asked',
      });
    },
  ],
  [
    /^given (\S+) terminates (\S+) ahead of HR$/,
    async (story, by = '', person = '') => {
      await terminate(story.world.control().world, { person: keyOf(person), by: keyOf(by), reason: 'incident' });
    },
  ],
  [
    /^given HR lists (\S+) again$/,
    (story, name = '') => story.export((rows) => [...rows, ...PEOPLE.filter(({ id }) => id === keyOf(name))]),
  ],
  [/^when Writgate plans$/, (story) => story.plan()],
  [/^when Writgate runs$/, (story) => story.run()],
  [
    /^when (\S+) (approves|refuses) (P\d+)$/,
    async (story, name = '', verdict, plan = '') => {
      try {
        await story.world.signAs(plan, keyOf(name), verdict === 'approves' ? 'approve' : 'refuse');
        return ['signed'];
      } catch (thrown) {
        return [(thrown as Error).message];
      }
    },
  ],
  [
    /^then the target shows (.+)$/,
    async (story, names = '') => {
      const picture = (await story.world.crm.picture()).split('\n');
      const logins = names === 'everybody' ? null : names.toLowerCase().split(/, | and /);
      const shown = (line: string) =>
        logins === null || logins.some((login) => line.replace(/^-/, '').startsWith(`${login}:`));
      const lines = picture
        .filter(shown)
        .map((line) => (line.startsWith('-') ? `${line.slice(1)} (disabled)` : line).replaceAll(',', ', '));
      return lines.length > 0 && lines[0] !== ''
        ? lines.map((line) => line.replace(':  (', ': nothing ('))
        : ['nobody'];
    },
  ],
  [
    /^then the ledger holds$/,
    async (story) => {
      const { ok, findings } = await story.world.ledger();
      return ok ? [] : findings.map(({ message }) => message);
    },
  ],
];
