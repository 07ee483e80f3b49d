import { describe, expect, it } from 'vitest';
import { compileExpression, type Fields, foldAscii, isDate, type Scope, type Value } from './expression.ts';

const row: Scope = { of: 'row' };
const fields: Fields = new Map([
  ['department', 'string'],
  ['login', 'string'],
  ['remote', 'bool'],
  ['active', 'bool'],
]);
const person: Scope = { of: 'person', fields };

function errorOf(source: string, scope: Scope = row) {
  const compiled = compileExpression(source, scope);
  if (compiled.ok) throw new Error(`${source} compiled`);
  return compiled.errors[0]!;
}
function answer(source: string, record: Record<string, Value> = {}, scope: Scope = row): Value {
  const compiled = compileExpression(source, scope);
  if (!compiled.ok) throw new Error(`${source}: ${compiled.errors[0]!.message}`);
  return compiled.expression.evaluate(record);
}

describe('expressions that are refused before the first record', () => {
  it.each([
    ['row.a.', 'Expected IDENTIFIER', 6],
    ['row.salary > 5', 'no such overload: string > int', 0],
    ['row.a + 1', 'no such overload', 0],
    ['"x" + employee.id', 'employee is not known here', 6],
    ['row', 'row alone is no value', 0],
    ['size(row) > 2', 'row alone is no value', 5],
    ['row[row.a]', 'not written down', 0],
    ['row.a.lowerAsci()', 'there is no function .lowerAsci()', 0],
    ['lower(row.a)', 'there is no function lower()', 0],
    ['timestamp(row.a)', 'there is no function timestamp()', 0],
    ['int(row.a)', 'gives int', 0],
    ['row.a.split(" ")', 'gives list', 0],
    ['"abc', 'Unterminated string', 0],
    ['', 'Unexpected', 0],
  ])('%s', (source, message, start) => {
    const error = errorOf(source);
    expect(error.message).toContain(message);
    expect(error.start).toBe(start);
    expect(error.remedy).not.toBe('');
  });

  it.each(['[row.a].exists(x, x == "b")', '[1, 2].map(x, x)', 'cel.bind(q, row.a, q + q)', '[row.a].all(x, true)'])(
    'a macro, which could make work grow: %s',
    (source) => expect(errorOf(source).message).toMatch(/there is no function|not known/),
  );

  it('join, with which text could square itself', () => {
    expect(errorOf('row.a.split("").join(row.a)').message).toBe('there is no function .join()');
  });

  it('one that is too long, and says how long', () => {
    expect(errorOf(`"${'a'.repeat(2000)}"`).message).toBe('the expression has 2002 characters, limit 2000');
  });

  it.each([
    ['too many nodes', `${'"a" + '.repeat(150)}"a"`],
    ['too deep', `${'('.repeat(60)}row.a${')'.repeat(60)}`],
    ['deep negation', `${'!'.repeat(1900)}true`],
  ])('one that is %s', (_, source) => {
    expect(compileExpression(source, row).ok).toBe(false);
  });

  it.each([
    ['a pattern from the data', 'row.a.matches(row.b)'],
    ['a repeated group', 'row.a.matches("(a+)+$")'],
    ['an optional group', 'row.a.matches("(a|b)?(a|b)?c")'],
    ['a back-reference', String.raw`row.a.matches("(a)\\1")`],
    ['a look-ahead', 'row.a.matches("(?=a+)b")'],
    ['three open repetitions', 'row.a.matches("a*a*a*b")'],
    ['a range counted as open', 'row.a.matches("a{0,99}a{0,99}a{0,99}b")'],
    ['many optionals', `row.a.matches("${'a?'.repeat(30)}b")`],
    ['many alternatives', `row.a.matches("${'(a|a)'.repeat(30)}b")`],
    ['no regular expression', 'row.a.matches("[a")'],
  ])('matches() with %s', (_, source) => {
    expect(compileExpression(source, row).ok).toBe(false);
  });

  it('an attribute that no feed maps, with the nearest one', () => {
    const error = errorOf('person.active && person.departmnt == "100"', person);
    expect(error).toMatchObject({ message: 'person has no attribute departmnt', remedy: 'did you mean department?' });
    expect([error.start, error.end]).toEqual([17, 33]);
  });

  it('a flag compared with text', () => {
    expect(errorOf('person.remote == "yes"', person).message).toContain('bool == string');
  });

  it('attributes of the object prototype', () => {
    expect(errorOf('person.constructor', person).message).toBe('person has no attribute constructor');
  });
});

describe('records that have no answer', () => {
  it.each([
    ['null joined with text', 'row.a + "x"', { a: null }],
    ['a missing column', 'row.a', {}],
    ['a method on null', 'row.a.lowerAscii()', { a: null }],
    ['a key that a table lacks', '{"10": "Sales"}[row.a]', { a: '20' }],
    ['text that is no number', 'int(row.a) > 3', { a: 'three' }],
    ['a substring out of range', 'row.a.substring(4)', { a: 'abc' }],
    ['a date of another layout', 'row.a.date("DD.MM.YYYY")', { a: '2026-12-31' }],
    ['a day that is not in the calendar', 'row.a.date("DD.MM.YYYY")', { a: '30.02.2026' }],
    ['text too long to match', 'row.a.matches("^a") ? "y" : "n"', { a: 'a'.repeat(257) }],
    ['a replacement that grows', 'row.a.replace("a", "aaaaaaaaaa")', { a: 'a'.repeat(200) }],
    ['a replacement of nothing', 'row.a.replace("", "x")', { a: 'a' }],
    ['a number that only the record reveals', '[row.a, 1][1]', { a: 'a' }],
  ])('%s', (_, source, record) => {
    expect(compileExpression(source, row).ok).toBe(true);
    expect(() => answer(source, record)).toThrow();
  });

  it('does not carry the record into the sentence beyond 40 characters', () => {
    expect(() => answer('row.a.date("DD.MM.YYYY")', { a: 'x'.repeat(500) })).toThrow(/^"x{40}" is not a date/);
  });

  it.each(['row.toString', 'row["constructor"]', '(row.__proto__)', 'row.toString + ""', 'orEmpty(row.constructor)'])(
    'does not find what the record inherits: %s',
    (source) => expect(() => answer(source, {})).toThrow('No such key'),
  );
});

describe('expressions that people need', () => {
  it.each<[string, Record<string, Value>, Value]>([
    ['row.first + " " + row.last', { first: 'Neena', last: 'Yang' }, 'Neena Yang'],
    ['row.email.lowerAscii()', { email: 'NYANG' }, 'nyang'],
    ['row["Employee ID"].trim()', { 'Employee ID': ' 7 ' }, '7'],
    ['row.a == null ? "" : row.a', { a: null }, ''],
    ['row.a != null && row.a == "x"', { a: null }, false],
    ['orEmpty(row.middle) + row.last', { middle: null, last: 'King' }, 'King'],
    ['row.name.split(" ")[0]', { name: 'Steven King' }, 'Steven'],
    ['row.name.foldAscii()', { name: 'Jérôme Müßig' }, 'Jerome Mussig'],
    ['row.a.replace("$", "$&")', { a: 'a$b' }, 'a$&b'],
    ['row.job in ["AD_VP", "AD_PRES"]', { job: 'AD_VP' }, true],
    ['{"10": "Sales", "20": "IT"}[row.d]', { d: '20' }, 'IT'],
    ['int(row.salary) > 9000', { salary: '24000' }, true],
    ['row.id.matches("^[A-Z]{2}[0-9]{3,6}$")', { id: 'AD1234' }, true],
    ['row.hired.date("DD.MM.YYYY")', { hired: '17.06.2013' }, '2013-06-17'],
    ['row.hired.date("YYYYMMDD")', { hired: '20130617' }, '2013-06-17'],
    ['row.name.size() > 3', { name: 'Yang' }, true],
  ])('%s', (source, record, expected) => {
    expect(answer(source, record)).toBe(expected);
  });

  it('tells which fields it reads, and where', () => {
    const compiled = compileExpression('row.a + row["b c"]', row);
    expect(compiled.ok && compiled.expression.references).toEqual([
      { field: 'a', start: 0, end: 5 },
      { field: 'b c', start: 8, end: 18 },
    ]);
  });

  it('answers a rule over a person', () => {
    const source = 'person.active && (person.department == "100" || person.remote)';
    expect(answer(source, { active: true, department: null, remote: true, login: null }, person)).toBe(true);
    expect(answer(source, { active: false, department: '100', remote: true, login: null }, person)).toBe(false);
  });

  it('keeps the worst permitted pattern short', () => {
    const started = performance.now();
    answer('row.a.matches("a+a+a?a?b")', { a: 'a'.repeat(256) });
    expect(performance.now() - started).toBeLessThan(2000);
  });
});

it('folds letters as people do in logins', () => {
  expect(foldAscii('Ærøskøbing Łódź Þór Đorđe ıstanbul')).toBe('AEroskobing Lodz Thor Dorde istanbul');
  expect(foldAscii('Иван')).toBe('');
});

it('knows the calendar, as the platform does', () => {
  expect(isDate('2024-02-29')).toBe(true);
  for (const text of ['2023-02-29', '2023-13-01', '2023-1-1', '02023-01-01', '2023-00-10', '2023-01-00', '']) {
    expect(isDate(text)).toBe(false);
  }
  for (const year of [1900, 2000, 2023, 2024]) {
    for (let month = 0; month <= 13; month++) {
      for (let day = 0; day <= 32; day++) {
        const text = `${year}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`;
        const at = new Date(`${text}T00:00:00Z`);
        expect(isDate(text)).toBe(!Number.isNaN(at.getTime()) && at.toISOString().startsWith(text));
      }
    }
  }
});
