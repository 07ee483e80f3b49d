/** The contract suite's bench over a real directory: real catalogue, real performer, two credentials. */

import { systemAmbient } from '../../src/clock.ts';
import type { Call, Reply, TargetOptions } from '../../src/connector/contract.ts';
import { type Bench, TASK_EFFECTS } from '../../src/connector/suite.ts';
import { connector } from '../../src/connectors/ldap/connector.ts';
import { canonicalDn } from '../../src/connectors/ldap/dn.ts';
import { catalogue } from '../../src/gateway/catalogue/ldap.ts';
import type { Address } from '../../src/gateway/perform/contract.ts';
import { openLdap } from '../../src/gateway/perform/ldap.ts';

export interface Directory {
  readonly address: Address;
  readonly options: TargetOptions;
  readonly writer: { readonly dn: string; readonly password: string };
  readonly reader: { readonly dn: string; readonly password: string };
  /** An existing group, relative to the base. */
  readonly group: string;
}

/** What a new account's first password is in these tests; long and mixed, as Active Directory wants it. */
export const FIRST_PASSWORD = 'Correct-Horse-7-Battery';

export function openLdapBench({ address, options, writer, reader, group }: Directory): Bench {
  const performer = openLdap(address, systemAmbient);
  const classified = (call: Call): { call: Call } | { reply: Reply } => {
    const verdict = catalogue.classify(call, options);
    return verdict.ok
      ? { call: catalogue.withSecret(verdict.classified.call, FIRST_PASSWORD) }
      : { reply: { kind: 'refused', code: 'unclassified', message: verdict.reason } };
  };
  const performAs = (secret: { dn: string; password: string }) => async (call: Call) => {
    const judged = classified(call);
    return 'reply' in judged ? judged.reply : performer.perform(judged.call, { kind: 'bind', ...secret });
  };
  return {
    connector,
    options,
    perform: performAs(writer),
    look: performAs(reader),
    entitlement: canonicalDn(group, String(options.base)) ?? group,
    success: () => ({ kind: 'ldap', code: 0, message: '', entries: [], cookie: '' }),
    supports: new Set(TASK_EFFECTS),
    close: () => performer.close(),
  };
}
