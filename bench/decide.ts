/** `bench decide`: decisions a second, from memory and from the engine. */
import { type DecisionInput, decideAnew, decider } from '../src/decision/decide.ts';
import { loadPolicies, readDefaultPolicies } from '../src/decision/policy.ts';

const MEMOISED = 5_000_000;
const UNCACHED = 4_000;

/** What a day's plans look like: 3 targets, 3 privileges, joiners, movers and leavers, good and doubtful sources. */
function inputs(): DecisionInput[] {
  const all: DecisionInput[] = [];
  for (const system of ['crm', 'corp', 'pay']) {
    for (const privilege of ['low', 'normal', 'high'] as const) {
      for (const effect of ['create', 'grant', 'revoke', 'disable'] as const) {
        for (const sourceVerdict of ['fresh', 'stale'] as const) {
          for (const personState of ['active', 'left'] as const) {
            const cause = personState === 'left' ? 'absence' : 'birthright';
            const constant = {
              protected: false,
              managed: true,
              overLimit: false,
              automated: false,
              asOf: 'signed',
            } as const;
            all.push({ effect, system, privilege, cause, sourceVerdict, personState, ...constant });
          }
        }
      }
    }
  }
  return all;
}

function perSecond(times: number, work: (index: number) => void): number {
  for (let index = 0; index < times / 10; index++) work(index);
  const started = process.hrtime.bigint();
  for (let index = 0; index < times; index++) work(index);
  return (times * 1e9) / Number(process.hrtime.bigint() - started);
}

export async function benchDecide(): Promise<string> {
  const policySet = loadPolicies(readDefaultPolicies());
  const decide = decider(policySet);
  const all = inputs();
  console.log(`policies  ${policySet.policies.size}, ${all.length} different inputs`);

  // A fresh object each time, as the planner makes them: the key has to be built anew.
  const memoised = perSecond(MEMOISED, (index) => decide({ ...(all[index % all.length] as DecisionInput) }));
  const uncached = perSecond(UNCACHED, (index) => decideAnew(policySet, all[index % all.length] as DecisionInput));
  const rate = (value: number) => Math.round(value).toLocaleString('en');
  console.log(`memoised  ${rate(memoised)} decisions/s, ${(1e6 / memoised).toFixed(2)} µs each`);
  console.log(
    `uncached  ${rate(uncached)} decisions/s, ${(1e6 / uncached).toFixed(0)} µs each (a deny or a hold asks twice)`,
  );
  return `decide: ${rate(memoised)}/s memoised (goal 500,000), ${rate(uncached)}/s uncached`;
}
