/** What a connector's process says, read before it is believed: strict shapes of `contract.ts`, bounded texts. */
import { z } from 'zod';
import type { Json } from '../canonical.ts';
import { ATTRIBUTES, type Call, type Observed, type Receipt, type Sighting } from './contract.ts';
import { FAULT_CODES } from './fault.ts';

const text = z.string().max(4096);
const message = z.string().transform((said) => said.slice(0, 4096));
const json = z.unknown() as z.ZodType<Json>;
const attributes = z.strictObject(
  Object.fromEntries(ATTRIBUTES.map((name) => [name, z.exactOptional(text)])) as Record<
    (typeof ATTRIBUTES)[number],
    z.ZodExactOptional<typeof text>
  >,
);

const values = z.array(z.string());
export const CallShape: z.ZodType<Call> = z.union([
  z.strictObject({
    kind: z.literal('http'),
    method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']),
    path: z.array(text).max(32),
    query: z.exactOptional(z.record(text, z.string())),
    headers: z.exactOptional(z.strictObject({ 'if-match': z.exactOptional(text) })),
    body: z.exactOptional(json),
  }),
  z.strictObject({
    kind: z.literal('ldap'),
    op: z.literal('search'),
    base: text,
    scope: z.enum(['base', 'one', 'sub']),
    filter: z.string(),
    attributes: z.array(text),
    page: z.exactOptional(z.strictObject({ size: z.number().int().positive(), cookie: z.string() })),
  }),
  z.strictObject({ kind: z.literal('ldap'), op: z.literal('add'), dn: text, attributes: z.record(text, values) }),
  z.strictObject({
    kind: z.literal('ldap'),
    op: z.literal('modify'),
    dn: text,
    changes: z.array(z.strictObject({ operation: z.enum(['add', 'delete', 'replace']), attribute: text, values })),
  }),
  z.strictObject({ kind: z.literal('ldap'), op: z.literal('delete'), dn: text }),
  z.strictObject({
    kind: z.literal('sql'),
    statement: text,
    params: z.record(text, z.union([z.string(), z.number(), z.boolean(), z.null()])),
  }),
  z.strictObject({ kind: z.literal('file'), path: text }),
]);

export const ReceiptShape: z.ZodType<Receipt> = z.discriminatedUnion('outcome', [
  z.strictObject({ outcome: z.enum(['done', 'already']), id: z.exactOptional(text), message }),
  z.strictObject({ outcome: z.literal('refused'), message }),
  z.strictObject({ outcome: z.literal('later'), retryAfterMs: z.number().int().nonnegative().nullable(), message }),
  z.strictObject({ outcome: z.literal('unknown'), message }),
]);

export const SightingShape: z.ZodType<Sighting> = z.strictObject({
  account: z.enum(['active', 'disabled', 'absent']).nullable(),
  id: text.nullable(),
  attributes: attributes.nullable(),
  holds: z.boolean().nullable(),
  path: text,
  message,
});

export const ObservedShape: z.ZodType<readonly Observed[]> = z.array(
  z.discriminatedUnion('type', [
    z.strictObject({
      type: z.literal('account'),
      id: text,
      login: text,
      state: z.enum(['active', 'disabled']),
      attributes,
    }),
    z.strictObject({ type: z.literal('entitlement'), ref: text, name: text }),
    z.strictObject({ type: z.literal('membership'), ref: text, account: text }),
  ]),
);

/** How a task ends: with a result, or with the one thing that a connector may throw. */
export const EndShape = z.union([
  z.strictObject({ result: z.unknown() }),
  z.strictObject({ fault: z.strictObject({ code: z.enum(FAULT_CODES), message }) }),
]);
