/** What every connector makes of a reply that is not the target's own answer in its protocol. */
import type { Receipt, Reply } from './contract.ts';

/**
 * Before a write nothing can have happened; after it only a certain no is a no.
 * @param protocol of the call, for people: `an HTTP call`
 */
export function unanswered(reply: Reply, stage: 'before' | 'write', protocol: string): Receipt {
  switch (reply.kind) {
    case 'refused':
      return { outcome: 'refused', message: reply.message };
    case 'down':
      return { outcome: 'later', retryAfterMs: null, message: reply.message };
    case 'lost':
      return stage === 'before'
        ? { outcome: 'later', retryAfterMs: null, message: reply.message }
        : { outcome: 'unknown', message: reply.message };
    default:
      return { outcome: 'unknown', message: `a reply of kind ${reply.kind} to ${protocol}` };
  }
}
