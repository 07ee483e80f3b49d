/** Evidence of a change whose authority, and whose roster, are no longer in force. */
import { describe, expect, test } from 'vitest';
import { personOf, SIGNERS, signRoster, successorOf } from '../approval/testing.ts';
import { sha256 } from '../canonical.ts';
import { checkEvidence } from './check.ts';
import { authority, type Draft, genesis, KEYS, type Lies, makeEvidence, signAuthority, TRUSTED } from './testing.ts';

/** Since then 101 and 102, who signed the authority, have left, and 201 has come into the root role. */
const later = await signRoster(
  successorOf(genesis, { people: [personOf('103'), personOf('201', { roles: ['payroll', 'security', 'root'] })] }),
  Object.values(SIGNERS),
);
const since: Lies = { change: 'automatic', rosters: (chain) => [...chain, later] };
const force =
  (change: (honest: Draft) => readonly Draft[]): NonNullable<Lies['drafts']> =>
  (drafts) =>
    drafts.flatMap((draft) => (draft.kind === 'gateway.force' ? change(draft) : [draft]));
const judged = async (lies: Lies) => {
  const { ok, findings } = checkEvidence(await makeEvidence({ ...since, ...lies }), TRUSTED);
  expect(ok).toBe(findings.length === 0);
  return [...new Set(findings.map(({ code }) => code))];
};

describe('an authority whose signers have left the roster since', () => {
  test('holds for what the gateway did under it', async () => {
    expect(await judged({})).toEqual([]);
    expect(await judged({ change: 'grant' })).toEqual([]);
  });

  test('does not hold when the gateway never said that it believed it', async () => {
    expect(await judged({ drafts: force(() => []) })).toContain('authority');
  });

  test('does not hold when those who had left signed it afterwards', async () => {
    const said = { roster: sha256(later.text) };
    const drafts = force((draft) => [
      { ...draft, refs: { ...draft.refs, ...said }, body: { ...(draft.body as object), ...said } },
    ]);
    expect(await judged({ drafts })).toEqual(['authority']);
  });

  test('does not hold by the word of control, or of a stranger', async () => {
    expect(await judged({ drafts: force((draft) => [{ ...draft, by: 'control' }]) })).toContain('entry-signature');
    expect(await judged({ drafts: force((draft) => [{ ...draft, signWith: KEYS.control }]) })).toContain(
      'entry-signature',
    );
  });

  test('does not hold by what the gateway said of another authority, or under an unknown roster', async () => {
    const other = { authority: sha256('another') };
    expect(
      await judged({
        drafts: force((draft) => [
          { ...draft, refs: { ...draft.refs, ...other }, body: { ...(draft.body as object), ...other } },
        ]),
      }),
    ).toContain('authority');
    const unknown = { roster: sha256('unknown') };
    expect(
      await judged({ drafts: force((draft) => [{ ...draft, body: { ...(draft.body as object), ...unknown } }]) }),
    ).toEqual(['roster']);
  });
});

describe('an old authority that somebody forged', () => {
  test.each([
    ['signed by one of its two', async () => signAuthority(authority, ['101'])],
    ['signed by nobody', async () => ({ ...(await signAuthority(authority)), signatures: [] })],
    [
      'edited after it was signed',
      async () => {
        const signed = await signAuthority(authority);
        return { ...signed, document: signed.document.replace('"count":100', '"count":900') };
      },
    ],
    ['signed by those who came later', async () => signAuthority(authority, ['103', '201'])],
  ])('%s is refused', async (_, forge) => {
    const signed = await forge();
    expect(await judged({ signedAuthority: () => signed })).toContain('authority');
  });
});
