/**
 * Authorities that were in force, kept as people signed them: whoever asks for the evidence of an old change needs the
 * one that it was made under. They prove themselves, so it does not matter who could write here: a file that somebody
 * changed makes evidence that does not check.
 */
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { canonical, sha256 } from '../canonical.ts';
import type { AuthorityTerm, InForce, SignedAuthority } from './force.ts';
import { writeWhole } from './propose.ts';

const FOLDER = 'authorities';

/** Keeps the authority in force, if it is not kept already. Control does, before it plans anything under it. */
export async function keepAuthority(folder: string, { term, signed }: InForce): Promise<void> {
  const kept = join(folder, FOLDER);
  await mkdir(kept, { recursive: true });
  const name = `${term.serial}-${sha256(signed.term).slice(0, 12)}.json`;
  // Written again each time: a file that was damaged is whole again while its authority is in force.
  await writeWhole(join(kept, name), `${canonical(signed)}\n`);
}

/** The newest one with this document, as it was kept; null where there is none. */
export async function keptAuthority(folder: string, digest: string): Promise<SignedAuthority | null> {
  const kept = join(folder, FOLDER);
  const names = await readdir(kept).catch(() => []);
  const texts = await Promise.all(
    names.filter((name) => name.endsWith('.json')).map((name) => readFile(join(kept, name), 'utf8')),
  );
  const found = texts.flatMap((text) => readKept(text)).filter(({ signed }) => sha256(signed.document) === digest);
  return found.sort((a, b) => a.serial - b.serial).at(-1)?.signed ?? null;
}

/** One that is damaged is none, and hides no other. */
function readKept(text: string): { readonly serial: number; readonly signed: SignedAuthority }[] {
  try {
    const signed = JSON.parse(text) as SignedAuthority;
    if (typeof signed.document !== 'string') return [];
    return [{ serial: (JSON.parse(signed.term) as AuthorityTerm).serial, signed }];
  } catch {
    return [];
  }
}
