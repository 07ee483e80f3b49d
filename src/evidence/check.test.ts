import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { importsOf } from '../../test/tidy.ts';
import { AUTHORITY_NAMESPACE } from '../trust/force.ts';
import { signVerification } from '../verification/look.ts';
import { sealWrit } from '../writ/writ.ts';
import { collectEvidence, evidenceText, parseEvidence } from './bundle.ts';
import { checkEvidence } from './check.ts';
import { CHANGE, type Draft, KEYS, makeEvidence, makeWorld, NOW, TRUSTED, trustRootOf } from './testing.ts';
import { AUTHORITY_SIGNED_AS } from './trust.ts';

const check = async (lies: Parameters<typeof makeEvidence>[0]) => checkEvidence(await makeEvidence(lies), TRUSTED);
const without =
  (...kinds: string[]) =>
  (drafts: readonly Draft[]) =>
    drafts.filter(({ kind }) => !kinds.includes(kind));

/** Erases bodies of a kind, as control may on request. */
async function erased(kind: string, change: 'grant' | 'removal' = 'grant') {
  const sources = await makeWorld({ change });
  const text = await collectEvidence(
    {
      ...sources,
      entries: async (kinds, refs) =>
        (await sources.entries(kinds, refs)).map((entry) =>
          entry.kind === kind ? { ...entry, body: null, salt: null } : entry,
        ),
    },
    CHANGE,
  );
  return checkEvidence(text, TRUSTED);
}

describe('sound evidence', () => {
  test.each(['grant', 'automatic', 'removal'] as const)('of a %s holds and says verified', async (change) => {
    const report = await check({ change });
    expect(report.findings).toEqual([]);
    expect(report).toMatchObject({ ok: true, verdict: 'verified', demo: false });
    expect([...new Set(report.story.map(({ station }) => station))]).toEqual([
      'trigger',
      'cause',
      'decision',
      'approval',
      'writ',
      'call',
      'outcome',
      'verified',
      'status',
    ]);
  });

  test('names the people whose keys carry a signed change', async () => {
    const { story } = await check({});
    expect(story.find(({ station }) => station === 'approval')?.text).toContain('signed by 101, 102');
  });

  test('takes the genesis roster from the file when the auditor has only the trust root, which pins it', async () => {
    expect(checkEvidence(await makeEvidence(), { ...TRUSTED, genesisRoster: null }).ok).toBe(true);
  });

  test('is sound and says contradicted when the verifier saw that it is not so', async () => {
    const report = await check({
      verification: (body) => ({ ...body, verdict: 'contradicted', saw: 'does not hold payroll' }),
    });
    expect(report).toMatchObject({ ok: true, verdict: 'contradicted' });
  });

  test('is sound and open while the verifier could not tell', async () => {
    expect(await check({ verification: (body) => ({ ...body, verdict: 'inconclusive' }) })).toMatchObject({
      ok: true,
      verdict: 'open',
    });
  });

  test('is sound and open before anybody looked, acted or permitted', async () => {
    expect(await check({ drafts: without('verifier.looked') })).toMatchObject({ ok: true, verdict: 'open' });
    const acted = ['gateway.intent', 'gateway.outcome', 'verifier.looked'];
    expect(await check({ drafts: without(...acted) })).toMatchObject({ ok: true, verdict: 'open' });
    const permitted = ['writ.sealed', ...acted];
    expect(await check({ drafts: without(...permitted) })).toMatchObject({ ok: true, verdict: 'open' });
  });

  test('is sound when policy denied it and nobody sealed a writ', async () => {
    const report = await check({
      decision: 'deny',
      drafts: without('writ.sealed', 'gateway.intent', 'gateway.outcome', 'verifier.looked'),
    });
    expect(report).toMatchObject({ ok: true, verdict: 'open' });
    expect(report.story.find(({ station }) => station === 'decision')?.text).toContain('deny');
  });

  test('is sound when policy held it and enough people signed', async () => {
    expect((await check({ decision: 'hold' })).ok).toBe(true);
  });

  test('an attempt after the last look opens the verdict again', async () => {
    const again = (drafts: readonly Draft[]) => [
      ...drafts,
      ...drafts.filter(({ kind }) => kind === 'gateway.intent').map((draft) => ({ ...draft, at: NOW + 60_000 })),
    ];
    expect(await check({ drafts: again })).toMatchObject({ ok: true, verdict: 'open' });
  });

  test('a later look counts, whatever the earlier one said', async () => {
    const earlier = await makeWorld({ verification: (body) => ({ ...body, verdict: 'inconclusive' }) });
    const [look] = await earlier.entries(['verifier.looked'], {});
    const first: Draft = {
      kind: 'verifier.looked',
      by: 'verifier',
      at: NOW + 1500,
      refs: look?.refs ?? {},
      body: JSON.parse(look?.body ?? ''),
    };
    const report = await check({ drafts: (drafts) => [...drafts.slice(0, -1), first, ...drafts.slice(-1)] });
    expect(report).toMatchObject({ ok: true, verdict: 'verified' });
    expect(report.story.filter(({ station }) => station === 'verified')).toHaveLength(2);
  });

  test('a change that was contradicted and done again under a second writ is told with both', async () => {
    const again = (drafts: readonly Draft[]) => {
      const [sealed, intent, outcome, look] = drafts.slice(-4) as [Draft, Draft, Draft, Draft];
      const { body, signature: _ } = (look.body as { verification: { body: string; signature: string } }).verification;
      const denied = signVerification({ ...JSON.parse(body), verdict: 'contradicted' }, KEYS.verifier);
      const writ = sealWrit({ ...JSON.parse((sealed.body as { writ: string }).writ), id: 'W7-second' }, KEYS.control);
      return [
        ...drafts.slice(0, -1),
        { ...look, body: { verification: denied } },
        {
          ...sealed,
          at: NOW + 3_000,
          refs: { ...sealed.refs, writ: 'W7-second' },
          body: { writ: writ.body, seal: writ.seal },
        },
        { ...intent, at: NOW + 4_000, refs: { ...intent.refs, writ: 'W7-second' } },
        { ...outcome, at: NOW + 5_000, refs: { ...outcome.refs, writ: 'W7-second' } },
        { ...look, at: NOW + 6_000 },
      ];
    };
    const report = await check({ drafts: again });
    expect(report.findings).toEqual([]);
    expect(report.verdict).toBe('verified');
    const told = (station: string) =>
      report.story.filter((line) => line.station === station).map(({ text }) => text.split(' ', 1)[0]);
    expect(told('writ')).toEqual(['W7-abcdef', 'W7-second']);
    expect(told('verified')).toEqual(['contradicted', 'confirmed']);
  });

  test('a removal that was journalled while the log was away comes into it later, by the time that the gateway signed', async () => {
    const late = (drafts: readonly Draft[]) => {
      const acted = drafts.filter(({ kind }) => kind === 'gateway.intent' || kind === 'gateway.outcome');
      return [...drafts.filter((draft) => !acted.includes(draft)), ...acted];
    };
    expect(await check({ change: 'removal', drafts: late })).toMatchObject({ ok: true, verdict: 'verified' });
  });

  test.each([
    ['died', true],
    ['HTTP 204', false],
  ])(
    'an outcome without an intent is one of a gateway that died before it had said anything: %s',
    async (result, ok) => {
      const report = await check({
        drafts: (drafts) =>
          drafts.flatMap((draft) =>
            draft.kind === 'gateway.intent'
              ? [
                  {
                    ...draft,
                    kind: 'gateway.outcome',
                    refs: { ...draft.refs, writ: 'W7-before' },
                    body: { result, detail: 'nobody heard it', tookMs: 1 },
                  },
                  draft,
                ]
              : [draft],
          ),
      });
      expect(report.ok).toBe(ok);
      expect(report.findings.map(({ code }) => code)).toEqual(ok ? [] : ['tuple']);
    },
  );

  test('says that it is a demo when the pinned trust root is one', async () => {
    const trustRoot = await trustRootOf({ demo: true });
    const report = checkEvidence(await makeEvidence({ trustRoot, demo: true }), { ...TRUSTED, trustRoot });
    expect(report).toMatchObject({ ok: true, demo: true });
  });
});

describe('an erased body', () => {
  test.each(['plan.made', 'plan.decided', 'gateway.intent', 'gateway.outcome'])(
    'of %s is said and tolerated',
    async (kind) => {
      const report = await erased(kind);
      expect(report).toMatchObject({ ok: true, verdict: 'verified' });
      expect(report.story.some(({ text }) => text.includes('erased'))).toBe(true);
    },
  );

  test('of the look leaves the verdict open', async () => {
    expect(await erased('verifier.looked')).toMatchObject({ ok: true, verdict: 'open' });
  });

  test.each(['request.made', 'approval.given'])(
    'of %s is refused: who agreed to what is never erased',
    async (kind) => {
      const report = await erased(kind);
      expect(report.ok).toBe(false);
      expect(report.findings.map(({ code }) => code)).toContain('body-erased');
    },
  );

  test('of the snapshot is tolerated for a removal and refused for a grant', async () => {
    const sources = async (change: 'grant' | 'removal') => {
      const evidence = parseEvidence(await makeEvidence({ change }));
      const entries = evidence.entries.map((entry) =>
        Buffer.from(entry.entry, 'base64').includes('gateway.snapshot') ? { ...entry, body: null, salt: null } : entry,
      );
      return checkEvidence(evidenceText({ ...evidence, entries, record: null }), TRUSTED);
    };
    expect((await sources('removal')).ok).toBe(true);
    expect((await sources('grant')).findings.map(({ code }) => code)).toContain('snapshot');
  });
});

test('it needs node:crypto, our own pure code, and nothing else', () => {
  const root = join(import.meta.dirname, '../..');
  const seen = new Set<string>();
  const packages = new Set<string>();
  const walk = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const { to, ours, typeOnly } of importsOf(path, readFileSync(join(root, path), 'utf8'))) {
      if (typeOnly) continue;
      if (ours) walk(to);
      else packages.add(to);
    }
  };
  walk('src/evidence/check.ts');
  expect([...packages]).toEqual(['node:crypto']);
});

test('the namespace of the authority is the one that people sign in', () => {
  expect(AUTHORITY_SIGNED_AS).toBe(AUTHORITY_NAMESPACE);
});
