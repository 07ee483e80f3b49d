import { createHash, createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { scramVerifier } from './scram.ts';

test('is the verifier that RFC 7677 section 3 implies for its example', () => {
  // Its exchange: user "user", password "pencil", salt W22ZaJ0SNY7soEsUEjb6gQ==, 4096 iterations.
  const verifier = scramVerifier('pencil', () => Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'));
  expect(verifier).toMatch(/^SCRAM-SHA-256\$4096:W22ZaJ0SNY7soEsUEjb6gQ==\$/);
  const authMessage =
    'n=user,r=rOprNGfwEbeRWgbNEkqO,' +
    'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,' +
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0';
  const [stored, server] = verifier
    .split('$')[2]!
    .split(':')
    .map((part) => Buffer.from(part, 'base64'));
  const hmac = (key: Buffer) => createHmac('sha256', key).update(authMessage).digest();
  // The server's signature of the example, and the client's proof, which must lead back to the stored key.
  expect(hmac(server!).toString('base64')).toBe('6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=');
  const proof = Buffer.from('dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=', 'base64');
  const signature = hmac(stored!);
  const clientKey = proof.map((byte, index) => byte ^ signature[index]!);
  expect(createHash('sha256').update(clientKey).digest()).toEqual(stored);
});

test('takes a new salt each time, and refuses what SASLprep would change', () => {
  let calls = 0;
  const random = (bytes: number) => Buffer.alloc(bytes, ++calls);
  expect(scramVerifier('pencil', random)).not.toBe(scramVerifier('pencil', random));
  for (const password of ['', 'two words', 'pässword', 'line\n']) {
    expect(() => scramVerifier(password, random)).toThrow('assertion failed');
  }
});
