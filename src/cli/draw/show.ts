/** `writgate plan show P`: every change, and exactly what a signature would stand for. */
import type { PlanShown } from '../../api/contract.ts';
import { challenge, isPerson, parseRequest } from '../../approval/request.ts';
import { drawPlans, needOf } from './plan.ts';
import { counted, type Paint, wrap } from './text.ts';

export function drawShown({ summary, header, digest, changes, request }: PlanShown, paint: Paint): string {
  const lines = [
    ...drawPlans([{ ...summary, changes, size: changes.length }], paint),
    '',
    ...fields([
      ['digest', digest],
      [
        'made',
        `${header.createdAt}, from ${Object.keys(header.base.snapshots).join(', ') || 'no feed'} and targets as observed ${header.base.observedAt}`,
      ],
      ['policy', header.policy],
      ['authority', header.base.authority],
    ]),
  ];
  if (request === null) {
    const open = summary.state === 'open';
    return [
      ...lines,
      '',
      open ? `Nobody has to sign: ${needOf(summary)}.` : `Nobody can sign: the plan is ${summary.state}.`,
    ].join('\n');
  }
  return [...lines, '', ...drawRequest(summary.plan, request, paint)].join('\n');
}

function drawRequest(plan: string, request: NonNullable<PlanShown['request']>, paint: Paint): string[] {
  const { need, signed, candidates, excluded, verdict } = request;
  const { requester } = parseRequest(request.bytes);
  const approved = signed.filter((each) => each.verdict === 'approve').length;
  return [
    ...wrap(
      `${plan}: ${approved} of ${need} signed; ${verdict}${request.reason === null ? '' : `, ${request.reason}`}`,
    ).map(paint.bold),
    ...signed.map(
      (each) =>
        `  ${each.verdict === 'approve' ? 'signed' : paint.remove('REFUSED')} by ${each.person}${each.reason === null ? '' : `: ${each.reason}`}`,
    ),
    ...candidates.map(({ person, name, keys }) => `  may sign: ${person} ${name}  ${keys.join(' ')}`),
    ...(isPerson(requester)
      ? wrap(`asked for by ${requester}, who is claimed and not proven: nobody signed that he asked`, '  ').map(
          paint.warn,
        )
      : []),
    ...excluded.map(({ person, why }) => paint.dim(`  not ${person}: ${why}`)),
    '',
    ...fields([
      ['request', request.digest],
      ['expires', request.expiresAt],
      ['phrase', request.phrase],
    ]),
    '',
    'The exact bytes that the request stands for:',
    // One line, whatever its length: these are bytes, and no other spelling of them.
    request.bytes,
    '',
    `To sign: writgate approve ${plan} --key FILE   (or --agent)`,
    'Or with OpenSSH alone, then --signature FILE:',
    `  printf %s ${challenge('approve', request.bytes)} |`,
    '    ssh-keygen -Y sign -f KEY -n approval@writgate > FILE',
  ];
}

const fields = (rows: readonly (readonly [string, string])[]): string[] =>
  rows.flatMap(([name, value]) => wrap(value, `${name.padEnd(10)}`));

/** What a person reads last before he signs. */
export const drawAsked = (
  plan: string,
  request: NonNullable<PlanShown['request']>,
  changes: number,
  paint: Paint,
): string =>
  [
    `You sign ${plan}, ${counted(changes, 'change')}. Compare these eight words with a second screen, where you have one:`,
    `  ${paint.bold(request.phrase)}`,
  ].join('\n');
