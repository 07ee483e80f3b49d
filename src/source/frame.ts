/** Frames a raw payload that lies on disk: bytes → text → records → the sink. Pure but for reading that one file. */
import { type FileHandle, open } from 'node:fs/promises';
import type { Feed } from '../authority/authority.ts';
import type { Instant } from '../clock.ts';
import { CsvReader } from './csv.ts';
import { Decoder } from './decode.ts';
import { JsonReader } from './json.ts';
import { NdjsonReader } from './ndjson.ts';
import { Assayer, type Reader, type Shape, type Sink, type Trouble } from './records.ts';

/** Blocks are cut from the file, not from the network, so that no sender's chunking can change what is read. */
const BLOCK = 256 << 10;

export interface Framing {
  readonly trouble: Trouble | null;
  /** Records framed, those set aside included. Means nothing after trouble. */
  readonly total: number;
  /** How many the source itself says it has (`json.total`), or null. */
  readonly stated: number | null;
  readonly watermark: string | null;
  /** Newest value of the contract's as-of field. */
  readonly asOf: Instant | null;
}

export const shapeOf = ({ contract, asOf }: Pick<Feed, 'contract' | 'asOf'>): Shape => ({
  key: contract.key,
  required: contract.required,
  watermark: contract.watermark ?? null,
  asOf: asOf.field ?? null,
});

/**
 * @param input.pages byte lengths of the pages in the file (each followed by one LF) for a `json` feed, else null
 * @throws Failure `wrong-use` for a delimiter that cannot be one; the file system's own errors pass through
 */
export async function frame(input: {
  readonly path: string;
  readonly pages: readonly number[] | null;
  readonly feed: Feed;
  readonly sink: Sink;
}): Promise<Framing> {
  const { path, pages, feed, sink } = input;
  const assayer = new Assayer(shapeOf(feed), sink);
  const json = feed.json ? new JsonReader(assayer, feed.json) : null;
  const reader: Reader =
    json ?? (feed.csv === undefined ? new NdjsonReader(assayer) : new CsvReader(assayer, feed.delimiter));
  const file = await open(path, 'r');
  try {
    const trouble =
      (pages ? await readPages(file, pages, feed, reader) : await readBlocks(file, feed, reader)) ?? reader.end();
    const { total, watermark, asOf } = assayer;
    return { trouble, total, stated: json?.total ?? null, watermark: watermark?.text ?? null, asOf };
  } finally {
    await file.close();
  }
}

async function readBlocks(file: FileHandle, feed: Feed, reader: Reader): Promise<Trouble | null> {
  const decoder = new Decoder(feed.encoding);
  const block = Buffer.allocUnsafe(BLOCK);
  for (let position = 0, last = false; !last; ) {
    const { bytesRead } = await file.read(block, 0, BLOCK, position);
    position += bytesRead;
    last = bytesRead === 0;
    const trouble = feedText(decoder, block.subarray(0, bytesRead), last, reader);
    if (trouble) return trouble;
  }
  return null;
}

async function readPages(
  file: FileHandle,
  pages: readonly number[],
  feed: Feed,
  reader: Reader,
): Promise<Trouble | null> {
  let position = 0;
  for (const length of pages) {
    const page = Buffer.allocUnsafe(length);
    for (let got = 0; got < length; ) {
      const { bytesRead } = await file.read(page, got, length - got, position + got);
      if (bytesRead === 0) return { code: 'truncated', message: `the kept payload ends inside ${reader.place}` };
      got += bytesRead;
    }
    position += length + 1;
    const trouble = feedText(new Decoder(feed.encoding), page, true, reader);
    if (trouble) return trouble;
  }
  return null;
}

/** What was readable before a fault is read first, so that the first trouble in the file is the one told. */
function feedText(decoder: Decoder, bytes: Buffer, last: boolean, reader: Reader): Trouble | null {
  const { text, fault } = decoder.push(bytes, last);
  if (!fault) return reader.push(text);
  // A page is one text; half of it is not worth reading.
  const trouble = reader instanceof JsonReader ? null : reader.push(text);
  if (trouble) return trouble;
  return { code: fault.code, message: `${reader.place}, byte ${fault.offset}: ${fault.message}` };
}
