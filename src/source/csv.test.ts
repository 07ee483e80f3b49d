import { parse as oracle } from 'csv-parse/sync';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonical } from '../canonical.ts';
import { CsvReader } from './csv.ts';
import { Assayer, MAX_COLUMNS, MAX_HEADER, MAX_RECORD, type Quarantined, type Shape, type Trouble } from './records.ts';

interface Outcome {
  records: { line: number; text: string; key: string }[];
  aside: Quarantined[];
  trouble: Trouble | null;
}

const SHAPE: Shape = { key: 'id', required: [], watermark: null, asOf: null };

function read(text: string | string[], options: { shape?: Partial<Shape>; delimiter?: string } = {}): Outcome {
  const outcome: Outcome = { records: [], aside: [], trouble: null };
  const assayer = new Assayer(
    { ...SHAPE, ...options.shape },
    {
      record: (line, record, key) => outcome.records.push({ line, text: record, key }),
      quarantine: (record) => outcome.aside.push(record),
    },
  );
  const reader = new CsvReader(assayer, options.delimiter);
  for (const chunk of typeof text === 'string' ? [text] : text) {
    outcome.trouble ??= reader.push(chunk);
    if (outcome.trouble) return outcome;
  }
  outcome.trouble = reader.end();
  return outcome;
}

const rows = (outcome: Outcome) => outcome.records.map(({ text }) => JSON.parse(text));
const cut = (text: string, size: number) =>
  Array.from({ length: Math.ceil(text.length / size) }, (_, index) => text.slice(index * size, (index + 1) * size));

describe('a CSV file is refused', () => {
  const files: [string, string, Trouble['code'], string][] = [
    ['when it is empty', '', 'empty', 'empty'],
    ['when it holds nothing but blank lines', '\r\n\n\n', 'empty', 'empty'],
    ['when a quote is never closed', 'id,name\n1,"King\n2,Yang\n', 'truncated', 'cut off'],
    ['when it ends inside a record', 'id,name,mail\n1,King,k\n2,Ya', 'truncated', 'line 3, after 2 of 3'],
    ['when text follows a closing quote', 'id,name\n1,"King"s\n', 'quoting', 'field 2'],
    ['when a quote follows a closing quote and a blank', 'id,name\n1,"a" "b"\n', 'quoting', '" "'],
    ['when a carriage return alone follows a closing quote', 'id,name\n1,"a"\rb\n', 'quoting', 'field 2'],
    ['when a column has no name', 'id,,name\n1,2,3\n', 'header', 'column 2 of 3'],
    ['when the last column has no name', 'id,name,\n1,2,\n', 'header', 'column 3 of 3'],
    ['when a column is there twice', 'id,name,name\n1,a,b\n', 'header', '"name" twice'],
    ['when a column is there twice but for blanks', 'id,name, name \n1,a,b\n', 'header', 'twice'],
    ['when its lines end in carriage returns alone', 'id,name\r1,King\r', 'header', 'column 2 of 3'],
    ['when the key column is missing', 'ID,name\n1,a\n', 'column-missing', 'lacks "id"; it has "ID", "name"'],
  ];
  it.each(files)('%s', (_, text, code, part) => {
    for (const size of [1, 2, 5, text.length || 1]) {
      const { trouble } = read(cut(text, size));
      expect(trouble?.code, `chunks of ${size}`).toBe(code);
      expect(trouble?.message).toContain(part);
    }
  });

  it('when a required, watermark or as-of column is missing, and names all of them', () => {
    const { trouble } = read('id\n1\n', { shape: { required: ['mail'], watermark: 'seq', asOf: 'changed' } });
    expect(trouble).toMatchObject({ code: 'column-missing' });
    for (const name of ['mail', 'seq', 'changed']) expect(trouble?.message).toContain(name);
  });

  it(`when it has ${MAX_COLUMNS + 1} columns, and not when it has ${MAX_COLUMNS}`, () => {
    const header = (count: number) => ['id', ...Array.from({ length: count - 1 }, (_, index) => `c${index}`)].join(',');
    expect(read(`${header(MAX_COLUMNS + 1)}\n`).trouble).toMatchObject({ code: 'columns' });
    expect(read(`${header(MAX_COLUMNS)}\n`).trouble).toBeNull();
  });

  it('when it has a million columns', () => {
    const text = `id${',x'.repeat(1_000_000)}\n1\n`;
    expect(read(text).trouble).toMatchObject({ code: 'header', message: expect.stringContaining(String(MAX_HEADER)) });
    expect(read(cut(text, 50_000)).trouble).toMatchObject({ code: 'header' });
  });

  it('when an early quote swallows the file, with the line where it begins', () => {
    const text = `id,name\n1,ok\n2,"King\n${'3,Yang\n'.repeat(200_000)}`;
    for (const chunks of [[text], cut(text, 70_000)]) {
      const { trouble } = read(chunks);
      expect(trouble).toMatchObject({ code: 'record-size', message: expect.stringContaining('line 3') });
    }
  });

  it(`when a record is longer than ${MAX_RECORD} characters`, () => {
    const value = 'x'.repeat(MAX_RECORD);
    expect(read(`id,name\n1,${value}\n`).trouble?.code).toBe('record-size');
    expect(read(`id,name\n1,"${value}"\n`).trouble?.code).toBe('record-size');
    expect(read(`id,name\n1,${value}`).trouble?.code).toBe('record-size');
    expect(read(`id,name\n1,${'x'.repeat(MAX_RECORD - 3)}\n`).trouble).toBeNull();
  });

  it.each(['"', '\n', '\r'])('to be read with %j as a delimiter', (delimiter) => {
    expect(() => read('id\n1\n', { delimiter })).toThrow('cannot be a delimiter');
  });
});

describe('a CSV record is set aside, and the others stand', () => {
  it('with its key when only the columns after the key can have shifted', () => {
    const outcome = read('id,name,mail\n1,a,b\n2,a\n3,a,b,c\n4,a,b\n');
    expect(outcome.aside).toEqual([
      { key: '2', line: 3, reason: 'it has 2 fields, the header 3' },
      { key: '3', line: 4, reason: 'it has 4 fields, the header 3' },
    ]);
    expect(outcome.records.map(({ key }) => key)).toEqual(['1', '4']);
  });

  it('without a key when the key may be another’s', () => {
    expect(read('name,id\nKing, Steven,100\nYang,101\n').aside).toEqual([
      { key: null, line: 2, reason: 'it has 3 fields, the header 2' },
    ]);
  });

  it('when its key is empty or blank', () => {
    const outcome = read('id,name\n,a\n"",b\n  ,c\n1,d\n');
    expect(outcome.aside.map(({ key, line }) => [key, line])).toEqual([
      [null, 2],
      [null, 3],
      [null, 4],
    ]);
    expect(outcome.records).toHaveLength(1);
  });

  it('when its key is too long to be one', () => {
    expect(read(`id\n${'9'.repeat(201)}\n`).aside[0]?.reason).toContain('201 characters');
  });

  it('when a required field is empty', () => {
    const outcome = read('id,department\n1,90\n2,\n3, \n', { shape: { required: ['department'] } });
    expect(outcome.aside).toEqual([
      { key: '2', line: 3, reason: '`department` is empty' },
      { key: '3', line: 4, reason: '`department` is empty' },
    ]);
  });

  it('when its watermark or as-of cannot be read', () => {
    const shape = { watermark: 'seq', asOf: 'at' };
    const outcome = read('id,seq,at\n1,5,2026-01-01\n2,five,\n3,2026-01-01,\n4,6,yesterday\n5,6,2026-01-01 10:00\n', {
      shape,
    });
    expect(outcome.aside.map(({ key }) => key)).toEqual(['2', '3', '4', '5']);
  });
});

describe('CSV is read as people expect', () => {
  it('with CRLF, quotes, doubled quotes, embedded line ends, and lines counted physically', () => {
    const outcome = read('id,name,note\r\n1,"King, ""Steve""","two\r\nlines"\r\n\r\n2,O"Brien,5" pipe\r\n3,,""');
    expect(outcome.trouble).toBeNull();
    expect(outcome.records).toEqual([
      { line: 2, key: '1', text: canonical({ id: '1', name: 'King, "Steve"', note: 'two\r\nlines' }) },
      { line: 5, key: '2', text: canonical({ id: '2', name: 'O"Brien', note: '5" pipe' }) },
      { line: 6, key: '3', text: canonical({ id: '3', name: null, note: null }) },
    ]);
  });

  it.each([',', ';', '\t', '|'])('with %j as a delimiter that nobody declared', (delimiter) => {
    const text = `${['id', '"a,b;c|d"', 'x'].join(delimiter)}\n${['1', '"2,;|"', '3'].join(delimiter)}\n`;
    expect(rows(read(text))).toEqual([{ id: '1', 'a,b;c|d': '2,;|', x: '3' }]);
  });

  it('with one column and no delimiter at all', () => {
    expect(rows(read('id\n1\n2\n'))).toEqual([{ id: '1' }, { id: '2' }]);
  });

  it('with a declared delimiter, whatever the header holds', () => {
    expect(rows(read('id;a,b\n1;2,3\n', { delimiter: ';' }))).toEqual([{ id: '1', 'a,b': '2,3' }]);
  });

  it('with a header and no record', () => {
    expect(read('id,name\r\n')).toEqual({ records: [], aside: [], trouble: null });
  });

  it('with columns named like JavaScript’s own', () => {
    const [record] = read('id,__proto__,constructor\n1,a,b\n').records;
    expect(record?.text).toBe('{"__proto__":"a","constructor":"b","id":"1"}');
  });
});

describe('CSV properties', () => {
  const value = fc.string({ unit: 'grapheme', maxLength: 12 });
  const nasty = fc.stringMatching(/^[a",;\r\n\t| \\]{0,8}$/);
  const table = fc
    .integer({ min: 1, max: 5 })
    .chain((width) =>
      fc.array(fc.array(fc.oneof(value, nasty), { minLength: width, maxLength: width }), { maxLength: 8 }),
    );
  const serialise = (table: readonly string[][], delimiter: string, end: string) => {
    const quote = (text: string) => `"${text.replaceAll('"', '""')}"`;
    const header = ['id', ...(table[0] ?? []).map((_, index) => `c${index}`)];
    const lines = table.map((row, index) => [String(index), ...row].map(quote).join(delimiter));
    return [header.join(delimiter), ...lines].join(end) + end;
  };

  it('parse(serialise(rows)) = rows for arbitrary strings, however the text is cut', () => {
    fc.assert(
      fc.property(
        table,
        fc.constantFrom(',', ';', '\t', '|'),
        fc.constantFrom('\n', '\r\n'),
        fc.integer({ min: 1, max: 17 }),
        (table, delimiter, end, size) => {
          const outcome = read(cut(serialise(table, delimiter, end), size));
          expect(outcome.trouble).toBeNull();
          expect(outcome.aside).toEqual([]);
          const expected = table.map((row, index) =>
            Object.fromEntries([
              ['id', String(index)],
              ...row.map((text, column) => [`c${column}`, text === '' ? null : text]),
            ]),
          );
          expect(rows(outcome)).toEqual(expected);
          for (const { text } of outcome.records) expect(canonical(JSON.parse(text))).toBe(text);
        },
      ),
    );
  });

  it('the cut never changes the outcome of any text, good or bad', () => {
    const text = fc.stringMatching(/^[ab1",;\r\n]{0,60}$/).map((body) => `id,b\n${body}`);
    fc.assert(
      fc.property(text, fc.integer({ min: 1, max: 7 }), (text, size) => {
        expect(read(cut(text, size))).toEqual(read(text));
      }),
      { numRuns: 3000 },
    );
  });

  it('agrees with csv-parse wherever csv-parse accepts', () => {
    const text = fc.stringMatching(/^[ab1",\n]{0,40}$/).map((body) => `id,b\n${body}`);
    fc.assert(
      fc.property(text, (text) => {
        let expected: string[][];
        try {
          expected = oracle(text, { skip_empty_lines: true, relax_column_count: true }).slice(1) as string[][];
        } catch {
          return;
        }
        const outcome = read(text);
        if (outcome.trouble) {
          expect(outcome.trouble.code).toBe('truncated');
          return;
        }
        const whole = expected.filter((row) => row.length === 2 && row[0]!.trim() !== '');
        expect(rows(outcome)).toEqual(whole.map(([id, b]) => ({ id, b: b === '' ? null : b })));
        expect(outcome.records.length + outcome.aside.length).toBe(expected.length);
      }),
      { numRuns: 3000 },
    );
  });

  it('a file that is cut off anywhere has fewer whole records, or is truncated, never other people', () => {
    const text = 'id,name,mail\r\n1,"King, S",k@x\r\n2,Yang,"y""@x"\r\n3,Garcia,g@x\r\n';
    const whole = read(text).records;
    for (let length = 0; length < text.length; length += 1) {
      const { records, aside } = read(text.slice(0, length));
      expect(aside).toEqual([]);
      // The last field of the last record may be short: that is what a manifest and the count are for.
      for (const record of records.slice(0, -1)) expect(whole).toContainEqual(record);
    }
  });
});
