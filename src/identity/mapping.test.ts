import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { checkMappingAgainst, compileMapping, type Mapping } from './mapping.ts';

const MAP = {
  employeeId: 'row.employee_id',
  name: 'row.first_name + " " + row.last_name',
  login: 'row.email.lowerAscii()',
  department: 'row.department_id',
  startsOn: 'row.hire_date',
};
const ROW = {
  employee_id: '100',
  first_name: 'Steven',
  last_name: 'King',
  email: 'SKING',
  department_id: '90',
  hire_date: '2013-06-17',
};

function mappingOf(map: Record<string, string>): Mapping {
  const compiled = compileMapping(map);
  if (!compiled.ok) throw new Error(compiled.errors.map(({ message }) => message).join('; '));
  return compiled.mapping;
}
const mapped = (expression: string, row: Record<string, string | null>, attribute = 'name') =>
  mappingOf({ [attribute]: expression }).apply(row);

describe('mappings that are refused', () => {
  it('tells all errors, each with its attribute and place', () => {
    const compiled = compileMapping({ name: 'row.a + 1', login: 'row.b.lower()', department: 'row.c' });
    expect(compiled.ok ? [] : compiled.errors.map(({ attribute, start }) => [attribute, start])).toEqual([
      ['name', 0],
      ['login', 0],
    ]);
  });

  it('a condition for an attribute that is text', () => {
    const compiled = compileMapping({ department: 'row.a == "x"' });
    expect(!compiled.ok && compiled.errors[0]?.message).toBe('department is text, not a condition');
  });

  it('columns that the header lacks, with the nearest one', () => {
    const errors = checkMappingAgainst(mappingOf({ ...MAP, title: '"x" + row.job_idd' }), [
      ...Object.keys(ROW),
      'job_id',
    ]);
    expect(errors).toEqual([
      {
        attribute: 'title',
        start: 6,
        end: 17,
        message: 'the feed has no column job_idd',
        remedy: 'did you mean job_id?',
      },
    ]);
  });
});

describe('records that are quarantined', () => {
  it.each([
    ['an empty cell joined with text', 'row.a + "x"', { a: null }, 'name', 'no such overload'],
    ['a column that is missing', 'row.b', { a: 'x' }, 'name', 'No such key'],
    ['a date that is none', 'row.a', { a: '2023-02-30' }, 'startsOn', 'is not a date'],
    ['an ambiguous date', 'row.a', { a: '03/04/2023' }, 'endsOn', '.date("DD.MM.YYYY")'],
    ['a date with something behind it', 'row.a', { a: '2023-02-03 or so' }, 'endsOn', 'is not a date'],
    ['an unknown status', 'row.a', { a: 'probably' }, 'status', 'not one of active, leave, notice, left'],
    ['a control character', 'row.a', { a: 'King\u0000' }, 'name', 'control characters'],
    ['a line break', 'row.a', { a: 'Ki\nng' }, 'name', 'control characters'],
    ['text that runs backwards', 'row.a', { a: 'King\u202egniK' }, 'name', 'control characters'],
    ['half a character', 'row.a', { a: 'King\ud800' }, 'name', 'control characters'],
    ['endless text', 'row.a', { a: 'x'.repeat(1001) }, 'name', '1001 characters, limit 1000'],
    ['a flag where text belongs', '[row.a == "x", row.a][0]', { a: 'x' }, 'name', 'a condition, not text'],
  ])('%s', (_, expression, row, attribute, message) => {
    const result = mapped(expression, row, attribute);
    expect(result).toMatchObject({ ok: false, attribute, message: expect.stringContaining(message) });
  });

  it('an end before the start', () => {
    const mapping = mappingOf({ startsOn: 'row.a', endsOn: 'row.b' });
    expect(mapping.apply({ a: '2026-02-01', b: '2026-01-31' })).toEqual({
      ok: false,
      attribute: 'endsOn',
      message: 'ends on 2026-01-31, before it starts on 2026-02-01',
    });
    expect(mapping.apply({ a: '2026-02-01', b: '2026-02-01' }).ok).toBe(true);
  });

  it('leaves the record before and the record after alone', () => {
    const mapping = mappingOf(MAP);
    const verdicts = [ROW, { ...ROW, email: null }, ROW].map((row) => mapping.apply(row).ok);
    expect(verdicts).toEqual([true, false, true]);
  });
});

describe('records that are mapped', () => {
  it('gives a person', () => {
    expect(mappingOf(MAP).apply(ROW)).toEqual({
      ok: true,
      person: { employeeId: '100', name: 'Steven King', login: 'sking', department: '90', startsOn: '2013-06-17' },
    });
  });

  it.each<[string, string, string | null, string, string | boolean | null]>([
    ['blank text is no value', 'row.a', '   ', 'name', null],
    ['an empty cell is no value', 'row.a', null, 'department', null],
    ['outer blanks are no difference', 'row.a', ' King\t', 'name', 'King'],
    ['the spelling of accents is no difference', 'row.a', 'Jose\u0301', 'name', 'José'],
    ['the date as HR wrote it', 'row.a', '2026-03-01T00:00:00+02:00', 'startsOn', '2026-03-01'],
    ['a date with a time', 'row.a', '2026-03-01 00:00:00.000', 'startsOn', '2026-03-01'],
    ['a date in a declared layout', 'row.a.date("DD.MM.YYYY")', '01.03.2026', 'startsOn', '2026-03-01'],
    ['status in any case', 'row.a', 'LEAVE', 'status', 'leave'],
    ['a flag of your own', 'row.a == "home"', 'home', 'remote', true],
  ])('%s', (_, expression, value, attribute, expected) => {
    expect(mapped(expression, { a: value }, attribute)).toEqual({ ok: true, person: { [attribute]: expected } });
  });

  it('tells which attributes are flags', () => {
    const mapping = mappingOf({ name: 'row.a', remote: 'row.b == "home"' });
    expect([...mapping.fields]).toEqual([
      ['name', 'string'],
      ['remote', 'bool'],
    ]);
  });

  it('maps every row of a real HR export', () => {
    const file = new URL('../../examples/company/data/employees.csv', import.meta.url);
    const [header = '', ...lines] = readFileSync(file, 'utf8').trim().split(/\r?\n/);
    const columns = header.split(',');
    const mapping = mappingOf(MAP);
    expect(checkMappingAgainst(mapping, columns)).toEqual([]);
    const results = lines.map((line) => {
      const cells = line.split(',');
      return mapping.apply(Object.fromEntries(columns.map((column, index) => [column, cells[index] || null])));
    });
    expect(results.length).toBe(107);
    expect(results.filter(({ ok }) => !ok)).toEqual([]);
  });
});
