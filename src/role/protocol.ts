/** The protocols that we speak: what a call means, and how it is made. The gateway uses both, and so does the verifier. */
import { catalogue as ldap } from '../gateway/catalogue/ldap.ts';
import { catalogue as postgres } from '../gateway/catalogue/postgres.ts';
import { catalogue as scim } from '../gateway/catalogue/scim.ts';
import { openHttp } from '../gateway/perform/http.ts';
import { openLdap } from '../gateway/perform/ldap.ts';
import { openSql } from '../gateway/perform/sql.ts';

export const CATALOGUES = { scim, ldap, postgres };
export const PERFORMERS = { scim: openHttp, ldap: openLdap, postgres: openSql };
