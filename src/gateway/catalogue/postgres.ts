/** PostgreSQL operations: a call names a statement of the gateway's own table, so its effect is known before it is read. */
import { assert } from '../../assert.ts';
import { type Call, FIRST_SECRET, type SqlCall } from '../../connector/contract.ts';
import { isStatement, paramsFlaw, readAttributes, STATEMENTS, type Statement } from '../perform/statements.ts';
import type { Catalogue, Classification } from './contract.ts';

const refuse = (reason: string): Classification => ({ ok: false, reason });

function classify(call: Call): Classification {
  if (call.kind !== 'sql') return refuse(`a ${call.kind} call is no statement`);
  const { statement: name, params } = call;
  if (!isStatement(name)) return refuse(`${JSON.stringify(name)} is no statement of the gateway`);
  const flaw = paramsFlaw(name, params);
  if (flaw !== null) return refuse(flaw);
  const { operation, effect, params: kinds }: Statement = STATEMENTS[name];
  const wantsSecret = Object.values(kinds).includes('secret');
  if (wantsSecret && params['password'] !== FIRST_SECRET) {
    return refuse('a first password is made by the gateway, and the call brings one of its own');
  }
  const isMembership = effect === 'grant' || effect === 'revoke';
  return {
    ok: true,
    classified: {
      operation,
      effect,
      object: effect === 'read' ? null : { login: String(params['login']) },
      entitlement: isMembership ? { name: 'role' in kinds ? String(params['role']) : '@connections' } : null,
      attributes: 'attributes' in kinds ? readAttributes(String(params['attributes'])) : null,
      wantsSecret,
      // Rebuilt in the table's order from the table's names.
      call: {
        kind: 'sql',
        statement: name,
        params: Object.fromEntries(Object.keys(kinds).map((key) => [key, params[key]!])) as SqlCall['params'],
      },
    },
  };
}

export const catalogue: Catalogue = {
  protocol: 'postgres',
  operations: [...new Set(Object.values(STATEMENTS).map(({ operation }) => operation))],
  classify,
  // A role's name is all there is: object and entitlement are named by it.
  resolveObject: () => null,
  resolveEntitlement: () => null,
  findEntitlement: () => null,
  createdId: (call, reply) =>
    call.kind === 'sql' && call.statement === 'create account' && reply.kind === 'sql' && reply.sqlstate === null
      ? String(call.params['login'])
      : null,
  withSecret(call, secret) {
    assert(
      call.kind === 'sql' && call.params['password'] === FIRST_SECRET,
      'the call was classified and wants a secret',
    );
    return { ...call, params: { ...call.params, password: secret } };
  },
};
