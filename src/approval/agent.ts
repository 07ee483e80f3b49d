/**
 * The least of an SSH agent client (draft-ietf-sshm-ssh-agent): which keys are there, and sign with one. For keys with
 * a passphrase and for security keys, so that Writgate never asks for a passphrase.
 */
import { connect } from 'node:net';
import { after, type Clock } from '../clock.ts';
import { Failure } from '../errors.ts';
import { readPublicKey, type SshPublicKey } from './key.ts';
import type { Signer } from './sshsig.ts';
import { WireReader, wireString, wireUint32 } from './wire.ts';

const REQUEST_IDENTITIES = 11;
const IDENTITIES_ANSWER = 12;
const SIGN_REQUEST = 13;
const SIGN_RESPONSE = 14;
/** `SSH_AGENT_RSA_SHA2_512`; other key types ignore it. */
const RSA_SHA2_512 = 4;
/** OpenSSH's own bound on a message. */
const MAX_ANSWER = 256 * 1024;

export interface Agent {
  /** `SSH_AUTH_SOCK`; undefined fails with the way out. */
  readonly socketPath: string | undefined;
  /** For one request as a whole. Signing may wait for a touch or a confirmation: give it a minute. */
  readonly timeoutMs: number;
  readonly clock: Clock;
}

export interface AgentKey {
  readonly publicKey: SshPublicKey;
  readonly comment: string;
}

/** The agent's keys of types that can approve; others are left out. @throws Failure `ssh-agent` */
export async function listAgentKeys(agent: Agent): Promise<AgentKey[]> {
  const wire = await ask(agent, Buffer.of(REQUEST_IDENTITIES), IDENTITIES_ANSWER);
  const keys: AgentKey[] = [];
  for (let left = wire.uint32(); left > 0; left -= 1) {
    const [blob, comment] = [wire.string(), wire.string().toString('utf8')];
    const publicKey = taken(blob);
    if (publicKey !== null) keys.push({ publicKey, comment });
  }
  wire.end();
  return keys;
}

/** A signer whose key stays in the agent. Its `sign` rejects with Failure `ssh-agent` when the agent says no. */
export function agentSigner(agent: Agent, publicKey: SshPublicKey): Signer {
  return {
    publicKey,
    sign: async (message) => {
      const fields = [wireString(publicKey.blob), wireString(message), wireUint32(RSA_SHA2_512)];
      const wire = await ask(agent, Buffer.concat([Buffer.of(SIGN_REQUEST), ...fields]), SIGN_RESPONSE);
      const signature = wire.string();
      wire.end();
      return signature;
    },
  };
}

function taken(blob: Buffer): SshPublicKey | null {
  try {
    return readPublicKey(blob);
  } catch {
    return null;
  }
}

/** One request on a connection of its own. */
async function ask(agent: Agent, request: Buffer, wanted: number): Promise<WireReader> {
  const answer = await exchange(agent, Buffer.concat([wireUint32(request.length), request]));
  if (answer[0] !== wanted) {
    throw new Failure(
      'ssh-agent',
      'the SSH agent refused; see with `ssh-add -l` whether it holds the key and is unlocked',
    );
  }
  return new WireReader(answer.subarray(1), 'answer of the SSH agent');
}

function exchange({ socketPath, timeoutMs, clock }: Agent, request: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    if (!socketPath) {
      throw new Failure(
        'ssh-agent',
        'SSH_AUTH_SOCK is not set; start an agent with `eval $(ssh-agent)`, then `ssh-add FILE`',
      );
    }
    const socket = connect({ path: socketPath });
    const finish = (act: () => void) => {
      inTime();
      socket.destroy();
      act();
    };
    const fail = (message: string, cause?: unknown) =>
      finish(() => reject(new Failure('ssh-agent', message, { cause })));
    const inTime = after(clock, timeoutMs, () => fail(`the SSH agent did not answer within ${timeoutMs} ms`));

    let got = Buffer.alloc(0);
    socket.on('connect', () => socket.write(request));
    socket.on('error', (cause) => fail('the SSH agent at SSH_AUTH_SOCK cannot be reached', cause));
    socket.on('close', () => fail('the SSH agent hung up before it answered'));
    socket.on('data', (chunk) => {
      got = Buffer.concat([got, chunk]);
      if (got.length < 4) return;
      const length = got.readUInt32BE();
      if (length < 1 || length > MAX_ANSWER) return fail(`the SSH agent announced an answer of ${length} bytes`);
      if (got.length > 4 + length) return fail('the SSH agent sent more than its answer');
      if (got.length === 4 + length) finish(() => resolve(got.subarray(4)));
    });
  });
}
