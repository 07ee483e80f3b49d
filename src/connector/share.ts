/**
 * One read for many tasks. Those who ask in one turn of the event loop share it; whoever asks for what is being read at
 * this moment waits, and all who waited share the next. It begins after each of them asked, so that what each is told
 * is as new as if he had asked alone. A group of ten thousand members, looked at for a hundred changes, is read, sent
 * through the pipe and understood once or twice and not a hundred times.
 */
import type { Call, Reply } from './contract.ts';

/** What goes back to the connector's process: the reply itself, or which one it is of those that several share. */
export type Answer =
  | Reply
  /** The first who gets it brings it along, with how many there are in all. */
  | { readonly kind: 'shared'; readonly number: number; readonly uses?: number; readonly reply?: Reply };

/** Only what certainly changes nothing, here or there: a page by cookie moves a cursor, a template may do anything. */
const isShared = (call: Call): boolean =>
  call.kind === 'http' ? call.method === 'GET' : call.kind === 'ldap' && call.op === 'search' && !call.page;

interface Waiting {
  readonly perform: (call: Call) => Promise<Reply>;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (thrown: unknown) => void;
}

/** On the side that performs. Each call is made by the `perform` of somebody who asked for it. */
export function openSharing(): (call: Call, perform: Waiting['perform']) => Promise<Answer> {
  /** By call: who waits while one is under way. */
  const lanes = new Map<string, Waiting[]>();
  let last = 0;

  async function drain(key: string, call: Call): Promise<void> {
    for (let turn = lanes.get(key) ?? []; turn.length > 0; turn = lanes.get(key) ?? []) {
      lanes.set(key, []);
      const [first] = turn as [Waiting];
      try {
        const reply = await first.perform(call);
        if (turn.length === 1) first.resolve(reply);
        else {
          const number = ++last;
          first.resolve({ kind: 'shared', number, uses: turn.length, reply });
          for (const { resolve } of turn.slice(1)) resolve({ kind: 'shared', number });
        }
      } catch (thrown) {
        for (const { reject } of turn) reject(thrown);
      }
    }
    lanes.delete(key);
  }

  return (call, perform) => {
    if (!isShared(call)) return perform(call);
    const key = JSON.stringify(call);
    return new Promise((resolve, reject) => {
      const lane = lanes.get(key);
      if (lane) {
        lane.push({ perform, resolve, reject });
        return;
      }
      lanes.set(key, [{ perform, resolve, reject }]);
      // Whoever asks in the same turn has company too.
      setImmediate(() => void drain(key, call));
    });
  };
}

/** On the connector's side: answers come in the order in which they were given, the one that brings the reply first. */
export function openShared(): (answer: Answer) => Reply {
  const replies = new Map<number, { readonly reply: Reply; left: number }>();
  return (answer) => {
    if (answer.kind !== 'shared') return answer;
    const { number, uses, reply } = answer;
    if (reply !== undefined) replies.set(number, { reply, left: uses ?? 1 });
    const held = replies.get(number);
    if (!held) throw new Error(`the shared reply ${number} did not come`);
    held.left -= 1;
    if (held.left === 0) replies.delete(number);
    return held.reply;
  };
}
