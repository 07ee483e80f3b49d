import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Affiliation,
  addDays,
  assess,
  changesOn,
  dateOf,
  isWorking,
  type Known,
  STATES,
  STATUSES,
  type State,
  stateOf,
  type Transition,
} from './lifecycle.ts';

const TODAY = '2026-11-23';
const EMPLOYED: Affiliation = { startsOn: '2020-01-01', endsOn: null, status: null, presence: 'present' };
const at = (change: Partial<Affiliation>): Affiliation => ({ ...EMPLOYED, ...change });

describe('the state of one affiliation', () => {
  it.each<[State, string, Partial<Affiliation>]>([
    ['left', 'absent from an accepted full snapshot', { presence: 'absent' }],
    ['left', 'absent, whatever its dates say', { presence: 'absent', endsOn: '2030-01-01', status: 'active' }],
    ['left', 'the source says so', { status: 'left' }],
    ['left', 'the source says so before the end', { status: 'left', endsOn: '2030-01-01' }],
    ['left', 'the day after the last day', { endsOn: '2026-11-22' }],
    ['left', 'ended, and the source still says active', { endsOn: '2026-11-22', status: 'active' }],
    ['left', 'ended during a leave', { endsOn: '2026-11-22', status: 'leave' }],
    ['left', 'ended before it began', { startsOn: '2027-01-01', endsOn: '2026-11-01' }],
    ['left', 'ended while the feed is silent', { endsOn: '2026-11-22', presence: 'unchanged' }],
    ['prehire', 'begins tomorrow', { startsOn: '2026-11-24' }],
    ['prehire', 'begins tomorrow, and the source already says active', { startsOn: '2026-11-24', status: 'active' }],
    ['prehire', 'a future contract of one week', { startsOn: '2026-11-24', endsOn: '2026-11-30' }],
    ['leave', 'the source says so', { status: 'leave' }],
    ['leave', 'a leave into the end', { status: 'leave', endsOn: '2026-11-30' }],
    ['notice', 'the last day itself', { endsOn: TODAY }],
    ['notice', '30 days before the end', { endsOn: '2026-12-23' }],
    ['notice', 'the source says so, without an end', { status: 'notice' }],
    ['notice', 'a contractor in the last month', { endsOn: '2026-12-01', status: 'active' }],
    ['active', '31 days before the end', { endsOn: '2026-12-24' }],
    ['active', 'the first day', { startsOn: TODAY }],
    ['active', 'no dates at all', { startsOn: null }],
    ['active', 'open end as HR systems write it', { endsOn: '9999-12-31' }],
    ['active', 'the feed is silent', { presence: 'unchanged' }],
  ])('%s: %s', (state, _, change) => {
    expect(stateOf(at(change), TODAY)).toBe(state);
  });

  const days = fc.integer({ min: -60, max: 60 }).map((days) => addDays(TODAY, days));
  const affiliations = fc.record<Affiliation>({
    startsOn: fc.option(days),
    endsOn: fc.option(days),
    status: fc.option(fc.constantFrom(...STATUSES)),
    presence: fc.constantFrom('present', 'absent', 'unchanged'),
  });

  it('never works before the first day, after the last, or when absent', () => {
    fc.assert(
      fc.property(affiliations, (one) => {
        if (!isWorking(stateOf(one, TODAY))) return;
        expect(one.presence).not.toBe('absent');
        expect(one.startsOn === null || one.startsOn <= TODAY).toBe(true);
        expect(one.endsOn === null || one.endsOn >= TODAY).toBe(true);
      }),
    );
  });

  it('changes by itself on the day that was foretold, and on none before', () => {
    fc.assert(
      fc.property(affiliations, (one) => {
        const now = stateOf(one, TODAY);
        const foretold = changesOn(one, TODAY);
        for (let day = 1; day <= 150; day++) {
          const date = addDays(TODAY, day);
          if (date === foretold) {
            expect(stateOf(one, date)).not.toBe(now);
            return;
          }
          expect(stateOf(one, date)).toBe(now);
        }
        expect(foretold).toBeNull();
      }),
    );
  });
});

describe('what happened', () => {
  const CONTRACT: Readonly<Record<State, Affiliation>> = {
    prehire: at({ startsOn: '2026-12-01' }),
    active: at({}),
    leave: at({ status: 'leave' }),
    notice: at({ endsOn: '2026-12-01' }),
    left: at({ status: 'left' }),
  };
  // Row: what was known. Columns in the order of STATES: what is so now. `move` is a mover, if something changed.
  const TABLE: readonly (readonly [State | 'new', string])[] = [
    //         prehire active leave  notice left
    ['new', '  none    joiner joiner joiner none'],
    ['prehire', 'none  joiner joiner joiner leaver'],
    ['active', 'leaver move   move   move   leaver'],
    ['leave', ' leaver move   move   move   leaver'],
    ['notice', 'leaver move   move   move   leaver'],
    ['left', ' none    rehire rehire rehire none'],
  ];
  const rows = TABLE.flatMap(([from, columns]) =>
    columns
      .trim()
      .split(/ +/)
      .map((meaning, index) => ({ from, to: STATES[index]!, meaning })),
  );

  it.each(rows)('$from → $to: $meaning', ({ from, to, meaning }) => {
    const before = { department: '90', title: 'Clerk', manager: '100', name: 'A' };
    const previous: Known | null = from === 'new' ? null : { state: from, attributes: before };
    const same = assess(previous, [CONTRACT[to]], before, TODAY);
    const moved = assess(previous, [CONTRACT[to]], { ...before, department: '100' }, TODAY);
    expect(same).toMatchObject({ frozen: false, transition: meaning === 'move' ? 'none' : (meaning as Transition) });
    expect(moved).toMatchObject({ frozen: false, transition: meaning === 'move' ? 'mover' : (meaning as Transition) });
    // An announced return stays `left`, so that the first day is a rehire.
    expect(same).toMatchObject({ state: from === 'left' && to === 'prehire' ? 'left' : to });
  });

  it.each<[string, object, Transition, readonly string[]]>([
    ['department', { department: '100' }, 'mover', ['department']],
    ['title', { title: 'Chief' }, 'mover', ['title']],
    ['manager', { manager: null }, 'mover', ['manager']],
    ['all three', { department: '1', title: '2', manager: '3' }, 'mover', ['department', 'title', 'manager']],
    ['a name, which moves nobody', { name: 'B' }, 'none', []],
    ['nothing', {}, 'none', []],
  ])('a change of %s', (_, change, transition, changed) => {
    const before = { department: '90', title: 'Clerk', manager: '100', name: 'A' };
    const verdict = assess({ state: 'active', attributes: before }, [EMPLOYED], { ...before, ...change }, TODAY);
    expect(verdict).toMatchObject({ transition, changed });
  });

  it('an attribute that nobody maps yet is no move', () => {
    expect(assess({ state: 'active', attributes: {} }, [EMPLOYED], { title: null }, TODAY)).toMatchObject({
      transition: 'none',
    });
  });

  it('an announced return is a rehire on its first day, not a joiner', () => {
    const returning = at({ startsOn: '2026-12-01' });
    const announced = assess({ state: 'left', attributes: {} }, [returning], {}, TODAY);
    expect(announced).toMatchObject({ state: 'left', transition: 'none', changesOn: '2026-12-01' });
    expect(assess({ state: 'left', attributes: {} }, [returning], {}, '2026-12-01')).toMatchObject({
      transition: 'rehire',
    });
  });

  it('a future-dated start joins on its first day', () => {
    const future = at({ startsOn: '2026-12-01' });
    expect(assess(null, [future], {}, '2026-11-30')).toMatchObject({ state: 'prehire', transition: 'none' });
    expect(assess({ state: 'prehire', attributes: {} }, [future], {}, '2026-12-01')).toMatchObject({
      transition: 'joiner',
    });
  });

  it('a contractor leaves the day after his end date, with no word from the feed', () => {
    const contractor = at({ endsOn: '2026-11-23', presence: 'unchanged' });
    const last = assess({ state: 'notice', attributes: {} }, [contractor], {}, '2026-11-23');
    expect(last).toMatchObject({ state: 'notice', transition: 'none', changesOn: '2026-11-24' });
    expect(assess({ state: 'notice', attributes: {} }, [contractor], {}, '2026-11-24')).toMatchObject({
      transition: 'leaver',
    });
  });
});

describe('several affiliations', () => {
  const gone = at({ presence: 'absent' });
  it.each<[State, readonly Affiliation[]]>([
    ['active', [gone, EMPLOYED]],
    ['active', [EMPLOYED, at({ endsOn: '2026-12-01' })]],
    ['active', [at({ status: 'leave' }), EMPLOYED]],
    ['notice', [gone, at({ endsOn: '2026-12-01' })]],
    ['leave', [at({ status: 'leave' }), at({ startsOn: '2027-01-01' }), gone]],
    ['prehire', [gone, at({ startsOn: '2027-01-01' })]],
    ['left', [gone, at({ status: 'left' })]],
    ['left', []],
  ])('%s is the strongest', (state, affiliations) => {
    expect(assess(null, affiliations, {}, TODAY)).toMatchObject({ state });
    expect(assess(null, [...affiliations].reverse(), {}, TODAY)).toMatchObject({ state });
  });

  it('who leaves one of two contracts keeps working', () => {
    expect(assess({ state: 'active', attributes: {} }, [gone, EMPLOYED], {}, TODAY)).toMatchObject({
      transition: 'none',
    });
  });

  it('one record in quarantine freezes the person, even when the other says he left', () => {
    const quarantined = at({ presence: 'quarantined' });
    for (const affiliations of [[quarantined], [gone, quarantined], [EMPLOYED, quarantined]]) {
      expect(assess({ state: 'active', attributes: {} }, affiliations, {}, TODAY)).toEqual({ frozen: true });
    }
  });

  it('looks again on the first day that any of them changes', () => {
    const verdict = assess(null, [at({ endsOn: '2027-06-30' }), at({ startsOn: '2027-01-01' })], {}, TODAY);
    expect(verdict).toMatchObject({ changesOn: '2027-01-01' });
  });
});

describe('days', () => {
  it.each([
    ['2024-02-28', 1, '2024-02-29'],
    ['2023-02-28', 1, '2023-03-01'],
    ['2026-12-31', 1, '2027-01-01'],
    ['2026-03-29', 1, '2026-03-30'],
    ['9999-12-31', 1, '9999-12-31'],
    ['0000-01-01', -1, '0000-01-01'],
  ])('%s %i is %s', (date, days, expected) => {
    expect(addDays(date, days)).toBe(expected);
  });

  it('are counted in UTC', () => {
    expect(dateOf(Date.parse('2026-11-23T23:59:59.999Z'))).toBe('2026-11-23');
    expect(dateOf(Date.parse('2026-11-24T00:30:00+01:00'))).toBe('2026-11-23');
  });
});
