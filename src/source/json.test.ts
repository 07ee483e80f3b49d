import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonical } from '../canonical.ts';
import { JsonReader, nextCursor, type Paging } from './json.ts';
import { NdjsonReader } from './ndjson.ts';
import { Assayer, MAX_RECORD, type Quarantined, type Trouble } from './records.ts';

const PAGING: Paging = {
  url: 'https://hr.example/people',
  items: '/items',
  next: '/next',
  cursor: 'cursor',
  total: '/total',
};

function collect() {
  const records: { line: number; text: string; key: string }[] = [];
  const aside: Quarantined[] = [];
  const assayer = new Assayer(
    { key: 'id', required: [], watermark: null, asOf: null },
    { record: (line, text, key) => records.push({ line, text, key }), quarantine: (record) => aside.push(record) },
  );
  return { records, aside, assayer };
}

function lines(chunks: readonly string[]) {
  const { records, aside, assayer } = collect();
  const reader = new NdjsonReader(assayer);
  let trouble: Trouble | null = null;
  for (const chunk of chunks) trouble ??= reader.push(chunk);
  return { records, aside, trouble: trouble ?? reader.end() };
}

function pages(texts: readonly string[]) {
  const { records, aside, assayer } = collect();
  const reader = new JsonReader(assayer, PAGING);
  let trouble: Trouble | null = null;
  for (const text of texts) trouble ??= reader.push(text);
  return { records, aside, trouble: trouble ?? reader.end(), total: reader.total };
}

describe('a line of NDJSON is set aside, and the others stand', () => {
  it.each([
    ['that is not JSON', 'nonsense', null, 'not JSON'],
    ['that names a member twice', '{"id":"2","id":"3"}', null, 'twice'],
    ['that is an array', '["2"]', null, 'not an object'],
    ['that is a word', 'null', null, 'not an object'],
    ['without a key', '{"name":"x"}', null, 'is empty'],
    ['with null as its key', '{"id":null}', null, 'is empty'],
    ['with U+0000 in a value', '{"id":"2","name":"a\\u0000b"}', '2', 'U+0000'],
    ['with half a surrogate pair in a value', '{"id":"2","name":"\\ud800"}', '2', 'surrogate'],
    ['with half a surrogate pair in its key', '{"id":"\\udc00"}', null, 'surrogate'],
    ['with half a surrogate pair in a member’s name', '{"id":"2","\\ud800":"x"}', '2', 'surrogate'],
    [
      'with too many members',
      `{"id":"2"${Array.from({ length: 1000 }, (_, index) => `,"c${index}":1`).join('')}}`,
      null,
      '1001 members',
    ],
  ])('%s', (_, bad, key, reason) => {
    const outcome = lines([`{"id":"1"}\n${bad}\n\n{"id":"9"}\n`]);
    expect(outcome.trouble).toBeNull();
    expect(outcome.records.map(({ line, key: good }) => [line, good])).toEqual([
      [1, '1'],
      [4, '9'],
    ]);
    expect(outcome.aside).toEqual([{ key, line: 2, reason: expect.stringContaining(reason) }]);
  });
});

describe('an NDJSON file is refused', () => {
  it('when it ends inside a line', () => {
    expect(lines(['{"id":"1"}\n{"id":"2","na'])).toMatchObject({
      trouble: { code: 'truncated', message: expect.stringContaining('line 2') },
    });
  });
  it('when a line is too long', () => {
    const long = `{"id":"1","x":"${'y'.repeat(MAX_RECORD)}"}`;
    for (const text of [`${long}\n`, long]) expect(lines([text]).trouble?.code).toBe('record-size');
  });
});

describe('the normal form', () => {
  it('keeps numbers as spelt, words as words, and nested values as their text', () => {
    const [record] = lines([
      '{"z":1.50,"id":100,"yes":true,"no":null,"empty":"","deep":{"b":[1e2,"x"],"a":{}}}',
    ]).records;
    expect(record?.text).toBe(
      canonical({ z: '1.50', id: '100', yes: 'true', no: null, empty: '', deep: '{"a":{},"b":[1e2,"x"]}' }),
    );
  });

  it('is canonical, and the same however the text is cut', () => {
    const row = fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 5 }), fc.string({ unit: 'grapheme' }), {
      maxKeys: 5,
    });
    fc.assert(
      fc.property(fc.array(row, { maxLength: 6 }), fc.integer({ min: 1, max: 13 }), (list, size) => {
        const all = list.map((item, index) => ({ ...item, id: String(index) }));
        const storable = all.filter((item) => !JSON.stringify(item).includes('\\u0000'));
        const text = all.map((item) => `${JSON.stringify(item)}\n`).join('');
        const cut = Array.from({ length: Math.ceil(text.length / size) }, (_, at) =>
          text.slice(at * size, (at + 1) * size),
        );
        const outcome = lines(cut);
        expect(outcome.records.map((record) => record.text)).toEqual(storable.map((item) => canonical(item)));
        expect(outcome).toEqual(lines([text]));
      }),
    );
  });
});

describe('JSON pages', () => {
  it.each([
    ['that are not JSON', '<html>', 'not JSON at character 0'],
    ['that are cut off', '{"items":[{"id":"1"}', 'not JSON'],
    ['that name a member of an item twice', '{"items":[{"id":"1","id":"2"}]}', 'twice'],
    ['that name the items twice', '{"items":[],"items":[]}', 'twice'],
    ['without items at the pointer', '{"people":[]}', 'no array at `/items`'],
    ['with an object where items should be', '{"items":{"id":"1"}}', 'no array'],
  ])('%s are refused with the page', (_, bad, part) => {
    const { trouble } = pages(['{"items":[{"id":"1"}]}', bad]);
    expect(trouble).toMatchObject({ code: 'page' });
    expect(trouble?.message).toContain('page 2');
    expect(trouble?.message).toContain(part);
  });

  it('are refused when there is none', () => {
    expect(pages([]).trouble).toMatchObject({ code: 'empty' });
  });

  it('number their items across pages and tell what the source says it has', () => {
    const outcome = pages(['{"items":[{"id":1},7],"total":3,"next":"b"}', '{"items":[{"id":"3"}],"total":3}']);
    expect(outcome.records.map(({ line, key }) => [line, key])).toEqual([
      [1, '1'],
      [3, '3'],
    ]);
    expect(outcome.aside).toEqual([{ key: null, line: 2, reason: 'it is not an object' }]);
    expect(outcome.total).toBe(3);
  });

  it('name the next cursor, or none', () => {
    expect(nextCursor('{"next":"abc"}', PAGING)).toBe('abc');
    expect(nextCursor('{"next":42}', PAGING)).toBe('42');
    for (const last of ['{}', '{"next":null}', '{"next":""}', '{"next":{}}', 'x'])
      expect(nextCursor(last, PAGING), last).toBeNull();
  });
});
