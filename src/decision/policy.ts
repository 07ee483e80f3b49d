/**
 * Policies: read, held against their schema, and given a digest. A set with any fault is refused as a whole, because
 * Cedar skips a policy that errors, even a `forbid`.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DetailedError } from '@cedar-policy/cedar-wasm/nodejs';
import { type Digest, digestOf } from '../canonical.ts';
import { Failure } from '../errors.ts';
import { cedar } from './engine.ts';

export interface PolicyText {
  readonly schema: string;
  /** All policies, one after another. */
  readonly policies: string;
}

export interface PolicySet {
  /** Over the schema, each policy by its id, and the version of the engine: what decided can be named exactly. */
  readonly policyDigest: Digest;
  /** Id → text, in the order of the files. */
  readonly policies: ReadonlyMap<string, string>;
}

/** The policies that come with Writgate. Not compiled into `dist/`, so they are found from the package's root. */
export function readDefaultPolicies(): PolicyText {
  let root = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(root, 'package.json')) && root !== dirname(root)) root = dirname(root);
  return readPolicies(join(root, 'src', 'decision', 'policies'));
}

/** @param folder with `schema.cedarschema` and any number of `.cedar` files, taken in the order of their names */
export function readPolicies(folder: string): PolicyText {
  try {
    const files = readdirSync(folder).filter((name) => name.endsWith('.cedar'));
    return {
      schema: readFileSync(join(folder, 'schema.cedarschema'), 'utf8'),
      policies: files
        .sort()
        .map((name) => readFileSync(join(folder, name), 'utf8'))
        .join('\n'),
    };
  } catch (cause) {
    throw new Failure('policy-invalid', 'the folder of the policies cannot be read', { cause });
  }
}

/** @throws Failure `policy-invalid` with everything that is wrong. After it, the engine knows the set by its digest. */
export function loadPolicies({ schema, policies }: PolicyText): PolicySet {
  const parts = cedar.policySetTextToParts(policies);
  if (parts.type === 'failure') throw invalid(parts.errors.map(sentence));
  if (parts.policy_templates.length > 0) throw invalid(['a template cannot be used: write the policy out']);
  if (parts.policies.length === 0) throw invalid(['there is no policy, so nothing could ever happen']);

  const faults: string[] = [];
  const byId = new Map<string, string>();
  for (const text of parts.policies) {
    const id = idOf(text);
    if (id === null) faults.push(`a policy has no usable @id: ${text.trim().slice(0, 80)}`);
    else if (byId.has(id)) faults.push(`two policies have the id ${id}`);
    else byId.set(id, text);
  }
  if (faults.length > 0) throw invalid(faults);

  const staticPolicies = Object.fromEntries(byId);
  const answer = cedar.validate({ schema, policies: { staticPolicies } });
  if (answer.type === 'failure') throw invalid(answer.errors.map(sentence));
  // A warning is a policy that can never apply: somebody believes in a rule that is none.
  const found = [...answer.validationErrors, ...answer.validationWarnings].map(({ error }) => sentence(error));
  found.push(...answer.otherWarnings.map(sentence));
  if (found.length > 0) throw invalid(found);

  const policyDigest = digestOf({ engine: cedar.getCedarVersion(), schema, policies: staticPolicies });
  for (const parsed of [
    cedar.preparseSchema(policyDigest, schema),
    cedar.preparsePolicySet(policyDigest, { staticPolicies }),
  ]) {
    if (parsed.type === 'failure') throw invalid(parsed.errors.map(sentence));
  }
  return { policyDigest, policies: byId };
}

const ID = /^[a-z0-9][a-z0-9-]{0,62}$/;

function idOf(text: string): string | null {
  const parsed = cedar.policyToJson(text);
  const id = parsed.type === 'success' ? parsed.json.annotations?.['id'] : undefined;
  return id !== undefined && ID.test(id) ? id : null;
}

const sentence = ({ message, help }: DetailedError): string => (help ? `${message} (${help})` : message);
const invalid = (faults: readonly string[]): Failure =>
  new Failure(
    'policy-invalid',
    `${faults.length === 1 ? '1 fault' : `${faults.length} faults`} in the policies: ${faults.join('; ')}`,
  );
