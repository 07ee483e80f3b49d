/** `writgate evidence check FILE`: is the evidence sound, and what does it say? Two answers. */
import type { EvidenceReport } from '../../evidence/check.ts';
import { counted, type Paint, wrap } from './text.ts';

const VERDICTS = {
  verified: 'The change is verified.',
  open: 'The change is open: nobody has confirmed it yet.',
  contradicted: 'The change is CONTRADICTED: the target claims it and shows otherwise.',
} as const;

export function drawReport({ ok, findings, verdict, story, demo }: EvidenceReport, paint: Paint): string {
  if (!ok || verdict === null) {
    return [
      ...findings.flatMap(({ code, message }) => wrap(message, `${code}: `, 4).map(paint.remove)),
      paint.bold(`THE EVIDENCE DOES NOT HOLD: ${counted(findings.length, 'finding')}. Believe nothing in it.`),
    ].join('\n');
  }
  return [
    ...story.flatMap(({ station, text }) => wrap(text, station.padEnd(10))),
    paint.bold('The evidence holds.'),
    verdict === 'verified' ? paint.add(VERDICTS[verdict]) : paint.warn(VERDICTS[verdict]),
    ...(demo ? [paint.warn('Its trust root is a demo: it proves how this works, and nothing about anybody.')] : []),
  ].join('\n');
}
