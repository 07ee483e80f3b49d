/**
 * Where the neutral attributes live in a SCIM user, in one table: the connector writes and reads by it, and the
 * gateway's catalogue re-derives the attributes of a call by it. Both spell a body through the functions below, so
 * what the gateway forwards is what the connector meant, or it is refused.
 */
import type { Json } from '../../canonical.ts';
import { ATTRIBUTES, type Attribute, type Attributes, FIRST_SECRET } from '../../connector/contract.ts';

/** RFC 7643 sections 4.1 to 4.3, RFC 7644 section 3.5.2. */
export const USER = 'urn:ietf:params:scim:schemas:core:2.0:User';
export const GROUP = 'urn:ietf:params:scim:schemas:core:2.0:Group';
export const ENTERPRISE = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User';
export const PATCH_OP = 'urn:ietf:params:scim:api:messages:2.0:PatchOp';

interface Place {
  /** The complex attribute or the schema extension that holds it; null at the top. */
  readonly within: 'name' | typeof ENTERPRISE | null;
  readonly name: string;
}

export const PLACES: Readonly<Record<Attribute, Place>> = {
  employeeId: { within: ENTERPRISE, name: 'employeeNumber' },
  displayName: { within: null, name: 'displayName' },
  givenName: { within: 'name', name: 'givenName' },
  familyName: { within: 'name', name: 'familyName' },
  email: { within: null, name: 'emails' },
  department: { within: ENTERPRISE, name: 'department' },
  title: { within: null, name: 'title' },
};

/** The attribute path of RFC 7644 section 3.5.2: `name.givenName`, `urn:…:User:department`. */
export function pathOf(attribute: Attribute): string {
  const { within, name } = PLACES[attribute];
  return within === null ? name : within === 'name' ? `name.${name}` : `${within}:${name}`;
}

/** Path in lower case to attribute: attribute names are case-insensitive (RFC 7643 section 2.1). */
export const ATTRIBUTE_AT: ReadonlyMap<string, Attribute> = new Map(
  ATTRIBUTES.map((attribute) => [pathOf(attribute).toLowerCase(), attribute]),
);

/** An account has one address here, so writing it replaces whatever addresses there were. */
const encoded = (attribute: Attribute, value: string): Json =>
  attribute === 'email' ? [{ value, type: 'work', primary: true }] : value;

const given = (attributes: Attributes): readonly (readonly [Attribute, string])[] =>
  ATTRIBUTES.flatMap((attribute) => {
    const value = attributes[attribute];
    return value === undefined ? [] : [[attribute, value] as const];
  });

/** The body of a create, or of a replacement (PUT), where `active` may be left out. */
export function userBody(
  login: string,
  attributes: Attributes,
  { active, password = false }: { readonly active?: boolean | undefined; readonly password?: boolean } = {},
): { readonly [key: string]: Json } {
  const top: Record<string, Json> = {};
  const inside: Record<'name' | typeof ENTERPRISE, Record<string, Json>> = { name: {}, [ENTERPRISE]: {} };
  for (const [attribute, value] of given(attributes)) {
    const { within, name } = PLACES[attribute];
    (within === null ? top : inside[within])[name] = encoded(attribute, value);
  }
  const extended = Object.keys(inside[ENTERPRISE]).length > 0;
  return {
    schemas: extended ? [USER, ENTERPRISE] : [USER],
    userName: login,
    ...top,
    ...(Object.keys(inside.name).length > 0 ? { name: inside.name } : {}),
    ...(extended ? { [ENTERPRISE]: inside[ENTERPRISE] } : {}),
    ...(active === undefined ? {} : { active }),
    ...(password ? { password: FIRST_SECRET } : {}),
  };
}

const patch = (...operations: readonly Json[]): Json => ({ schemas: [PATCH_OP], Operations: operations });

/** One operation an attribute, each with its path: the form that most servers understand alike. */
export const attributesPatch = (attributes: Attributes): Json =>
  patch(
    ...given(attributes).map(([attribute, value]) => ({
      op: 'replace',
      path: pathOf(attribute),
      value: encoded(attribute, value),
    })),
  );

export const activePatch = (active: boolean): Json => patch({ op: 'replace', path: 'active', value: active });

/** How a member is taken out: by a value path (RFC 7644 figure 4), or by an array of values, as some servers want it. */
export const REMOVALS = ['path', 'array'] as const;
export type Removal = (typeof REMOVALS)[number];

export const addMember = (id: string): Json => patch({ op: 'add', path: 'members', value: [{ value: id }] });

export const removeMember = (id: string, removal: Removal): Json =>
  removal === 'path'
    ? patch({ op: 'remove', path: `members[value eq ${JSON.stringify(id)}]` })
    : patch({ op: 'remove', path: 'members', value: [{ value: id }] });

/** `attribute eq "value"`: a string in a filter is a JSON string (RFC 7644 section 3.4.2.2), so that nothing breaks out. */
export const equals = (attribute: string, value: string): string => `${attribute} eq ${JSON.stringify(value)}`;
