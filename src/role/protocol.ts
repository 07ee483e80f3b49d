/** The protocols that we speak, and what a call means in each. The gateway asks, and so does the verifier. */
import { catalogue as ldap } from '../gateway/catalogue/ldap.ts';
import { catalogue as postgres } from '../gateway/catalogue/postgres.ts';
import { catalogue as scim } from '../gateway/catalogue/scim.ts';

export const CATALOGUES = { scim, ldap, postgres };
