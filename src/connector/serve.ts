/** A connector's side of the pipe: turns generators, many at once, and asks the other side to perform their calls. */
import { Console } from 'node:console';
import type { Call, Connector, Observed, Question, Reply, Step, TargetOptions, Task } from './contract.ts';
import { drive, MAX_CALLS, MAX_STEPS } from './drive.ts';
import { ConnectorFault } from './fault.ts';
import { openPipe } from './pipe.ts';
import { type Answer, openShared } from './share.ts';

interface Asked<Input> {
  /** Names the task in the calls that it makes. */
  readonly task: number;
  readonly options: TargetOptions;
  readonly input: Input;
}

/** Speaks on stdin and stdout until the other side hangs up. */
export function serve(connector: Connector): void {
  // Stdout is the pipe: what a connector prints must not be taken for a line of it.
  globalThis.console = new Console(process.stderr);

  const replyOf = openShared();
  const run = async (task: number, generator: Generator<Step, unknown, Reply>, maxSteps: number) => {
    try {
      const perform = async (call: Call): Promise<Reply> => {
        const answer = (await peer.request('call', { task, call })) as Answer;
        return replyOf(answer);
      };
      const { result } = await drive(generator, perform, {
        maxSteps,
        onEmit: async (observed: readonly Observed[]) => void (await peer.request('emit', { task, observed })),
      });
      return { result: result ?? null };
    } catch (thrown) {
      // An error of this one task. The other side has kept its own, if it was its own.
      const code = thrown instanceof ConnectorFault ? thrown.code : 'defect';
      return { fault: { code, message: String((thrown as Error)?.message) } };
    }
  };
  const peer = openPipe(process.stdin, process.stdout, {
    apply: (asked) => {
      const { task, options, input } = asked as Asked<Task>;
      return run(task, connector.apply(options, input), MAX_CALLS);
    },
    look: (asked) => {
      const { task, options, input } = asked as Asked<Question>;
      return run(task, connector.look(options, input), MAX_CALLS);
    },
    observe: (asked) => {
      const { task, options } = asked as Asked<null>;
      return run(task, connector.observe(options), MAX_STEPS);
    },
  });
  void peer.closed.then(() => process.exit(0));
}
