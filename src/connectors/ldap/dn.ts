/**
 * Distinguished names (RFC 4514), read strictly and written in one way only.
 *
 * A directory takes `UID=SJacobs, OU=People,DC=Acme` and `uid=sjacobs,ou=people,dc=acme` for one entry; so do we, by
 * writing both in the second form before anything is compared or forwarded. What two programs could read differently
 * (quoted values, `;` as a separator, BER values, control and format characters) is refused instead of guessed.
 */

export interface Ava {
  /** Lower-case short name: `uid`, `cn`, `ou`, `dc`. */
  readonly type: string;
  /** Unescaped and folded, see `fold`. */
  readonly value: string;
}

/** One level of a name; more than one pair is a multi-valued RDN (`cn=a+uid=b`), sorted. */
export type Rdn = readonly Ava[];
/** Innermost first, never empty. */
export type Dn = readonly Rdn[];

/** Second names and OIDs (RFC 4514 section 3, RFC 4519) of the types that appear in names. */
const SHORT_NAME: Readonly<Record<string, string>> = {
  '2.5.4.3': 'cn',
  commonname: 'cn',
  '2.5.4.6': 'c',
  countryname: 'c',
  '2.5.4.7': 'l',
  localityname: 'l',
  '2.5.4.8': 'st',
  stateorprovincename: 'st',
  '2.5.4.9': 'street',
  streetaddress: 'street',
  '2.5.4.10': 'o',
  organizationname: 'o',
  '2.5.4.11': 'ou',
  organizationalunitname: 'ou',
  '0.9.2342.19200300.100.1.1': 'uid',
  userid: 'uid',
  '0.9.2342.19200300.100.1.25': 'dc',
  domaincomponent: 'dc',
};

// RFC 4518 section 2.2 drops or blanks these before matching; a name that holds one is a name made to look like another.
const INVISIBLE = /\p{Cc}|\p{Cf}|\p{Zl}|\p{Zp}|\p{Co}|\p{Cn}|\p{Variation_Selector}|\u034f|\ufffc|\ufffd|(?! )\p{Zs}/u;

/**
 * One spelling for values that a directory's caseIgnoreMatch holds equal (RFC 4518): composed, lower case, single
 * spaces. Two values that a directory keeps apart may fold into one; then the folded spelling is the one acted on.
 * @returns null for an empty value and for one with invisible characters.
 */
export function fold(value: string): string | null {
  if (!value.isWellFormed() || INVISIBLE.test(value)) return null;
  const folded = value.normalize('NFC').toLowerCase().normalize('NFC').replace(/ +/g, ' ').trim();
  return folded === '' ? null : folded;
}

const TYPE = /^ *([A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+) *=/;
/** RFC 4514 section 3: what may follow a backslash besides two hex digits. */
const ESCAPABLE = ' "#+,;<=>\\';
const HEX = /^[0-9a-fA-F]{2}/;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** @returns the value's text and what follows it, or null. */
function readValue(text: string): { value: string; rest: string } | null {
  // `#` begins a BER-encoded value, and a quote an LDAPv2 one.
  if (/^ *[#"]/.test(text)) return null;
  const bytes: number[] = [];
  let at = 0;
  for (; at < text.length && text[at] !== ',' && text[at] !== '+'; ) {
    const char = String.fromCodePoint(text.codePointAt(at)!);
    if (char === '\\') {
      const hex = HEX.exec(text.slice(at + 1, at + 3));
      const escaped = text[at + 1];
      if (hex) bytes.push(Number.parseInt(hex[0], 16));
      else if (escaped !== undefined && ESCAPABLE.includes(escaped)) bytes.push(escaped.charCodeAt(0));
      else return null;
      at += hex ? 3 : 2;
    } else if ('";<>\0'.includes(char)) {
      return null;
    } else {
      bytes.push(...Buffer.from(char));
      at += char.length;
    }
  }
  try {
    return { value: utf8.decode(Uint8Array.from(bytes)), rest: text.slice(at) };
  } catch {
    return null;
  }
}

/** @returns null for what is not a name, is empty, or is longer than 2000 characters or 32 levels. */
export function parseDn(text: string): Dn | null {
  if (text.length > 2000 || !text.isWellFormed()) return null;
  const names: Ava[][] = [[]];
  for (let rest = text; ; ) {
    const type = TYPE.exec(rest);
    if (!type) return null;
    const read = readValue(rest.slice(type[0].length));
    const value = read && fold(read.value);
    if (!read || value === null) return null;
    const name = type[1]!.toLowerCase();
    const short = SHORT_NAME[name] ?? name;
    // An OID that we cannot name may be a second spelling of a type that we can.
    if (/^\d/.test(short)) return null;
    names.at(-1)!.push({ type: short, value });
    if (read.rest === '') break;
    if (read.rest[0] === ',') names.push([]);
    rest = read.rest.slice(1);
  }
  if (names.length > 32) return null;
  return names.map((rdn) => rdn.sort((a, b) => (writeAva(a) < writeAva(b) ? -1 : 1)));
}

/** RFC 4514 section 2.4. Spaces at the ends are gone by folding, control characters by refusal. */
const writeAva = ({ type, value }: Ava): string => `${type}=${value.replace(/[",+;<=>\\]|^#/g, '\\$&')}`;
export const writeDn = (dn: Dn): string => dn.map((rdn) => rdn.map(writeAva).join('+')).join(',');

/** Whether `dn` lies below `ancestor` by at least one level. Compared by level, never by text. */
export function isBelow(dn: Dn, ancestor: Dn): boolean {
  return dn.length > ancestor.length && writeDn(dn.slice(-ancestor.length)) === writeDn(ancestor);
}

export const isSame = (one: Dn, other: Dn): boolean => writeDn(one) === writeDn(other);

/**
 * The one spelling of a name: `cn=finance,ou=groups` and `CN=Finance, OU=Groups,DC=acme` are the same under `dc=acme`.
 * A name that does not end in the base is taken as relative to it.
 * @returns null when either is not a name.
 */
export function canonicalDn(dn: string, base: string): string | null {
  const name = parseDn(dn);
  const root = parseDn(base);
  if (!name || !root) return null;
  return writeDn(isSame(name, root) || isBelow(name, root) ? name : [...name, ...root]);
}

/** The name itself, not relative to anything. */
export function plainDn(dn: string): string | null {
  const name = parseDn(dn);
  return name && writeDn(name);
}
