/** The example company's writgate.yaml, with the addresses that its systems have on this machine. */
import type { System } from './systems.ts';

/** @param exporter SSH public key of the HR system @param delivery public key of the help desk @param expires date until which connectors and envelope hold */
export function companyConfig(systems: readonly System[], exporter: string, delivery: string, expires: string): string {
  const url = (name: System['name']) => systems.find((system) => system.name === name)?.url;
  const corp = url('corp');
  const connectors = (
    system: string,
    noun: string,
    create: readonly string[],
    remove: readonly string[],
    read: readonly string[],
  ) => `
  ${system}-read: { on: ${system}, duties: [read], owner: "104", deputy: "105", credential: ${system}-read, scope: [${read.join(', ')}], expires: ${expires} }
  ${system}-grant: { on: ${system}, duties: [grant], owner: "104", deputy: "105", credential: ${system}-grant, scope: [${[...read, ...create].join(', ')}], expires: ${expires} }
  ${system}-revoke: { on: ${system}, duties: [revoke], owner: "104", deputy: "105", credential: ${system}-revoke, scope: [${[...read, ...remove].join(', ')}], expires: ${expires} }
  ${system}-verify: { on: ${system}, duties: [verify], owner: "106", deputy: "107", credential: ${system}-verify, scope: [${read.join(', ')}], expires: ${expires} }  # ${noun}`;
  const scim = ['read User', 'read Group', 'read configuration'];
  const account = ['create User', 'update User', 'enable User'];
  return `# The example company: 107 people of the Oracle HR sample schema, and the systems that they use.
version: 1
tenant: acme
owner: "100"                                            # who answers for Writgate itself
delivery: ${delivery}   # the help desk's key: it alone opens first passwords

feeds:
  hr:
    csv: hr/employees.csv
    asOf: { manifest: hr/employees.manifest.json }       # signed by the HR system's own key
    exporter: ${exporter}
    contract: { mode: full, key: employee_id, maxAge: 26h, count: { min: 80, maxDrop: 5% }, required: [email, hire_date] }
    absent: leaver                                       # only in an accepted full snapshot
    map:                                                 # CEL over \`row\`
      employeeId: row.employee_id
      givenName: row.first_name
      familyName: row.last_name
      name: row.first_name + " " + row.last_name
      login: row.email.lowerAscii()
      email: row.email.lowerAscii() + "@acme.example"
      department: row.department_id
      title: row.job_id
      manager: row.manager_id
      startsOn: row.hire_date

correlate: [employeeId, login]                           # the first exact single match wins; two are a quarantine

targets:
  # settles: one process over its own memory; what was written is what the next read shows, or it was not written.
  # timeout: on a busy machine each of these answers a hundred of ours, one after another.
  crm: { scim: "${url('crm')}", settles: now, timeout: 30s, match: userName == person.login }
  desk: { scim: "${url('desk')}", settles: now, timeout: 30s, match: userName == person.login }
  pay:
    postgres: ${url('pay')}
    match: rolname == person.login
    mechanisms: [account, membership, connections]
    protected: [postgres, writgate_*, pay_*]
${corp === undefined ? '' : `  corp: { ldap: "${corp}", flavour: openldap, base: "dc=acme,dc=example", people: ou=people, groups: ou=groups, match: uid == person.login }\n`}
entitlements:
  staff: { on: crm, group: Staff, privilege: low }
  sales: { on: crm, group: Sales, privilege: low }
  shipping: { on: desk, group: Shipping desk, privilege: low }
  payroll-read: { on: pay, role: payroll_read, privilege: low }
  payroll-admin: { on: pay, role: payroll_admin, privilege: high, maxFor: 8h, owner: "205" }
${
  corp === undefined
    ? ''
    : `  directory: { on: corp, group: "cn=staff,ou=groups", privilege: low }
  purchasing: { on: corp, group: "cn=purchasing,ou=groups", privilege: low }
  finance: { on: corp, group: "cn=finance,ou=groups", privilege: normal, owner: "205" }
`
}
birthright:
  everyone: { when: person.active, grant: [staff] }
  sales: { when: person.department == "80", grant: [sales] }
  shipping: { when: person.department == "50", grant: [shipping] }
  accounting: { when: person.department == "110", grant: [payroll-read] }
${
  corp === undefined
    ? ''
    : `  office: { when: 'person.department == "60" || person.department == "90" || person.department == "110"', grant: [directory] }
  finance: { when: person.department == "100", grant: [finance, directory] }
  purchasing: { when: person.department == "30", grant: [purchasing] }
`
}
profile: separated                                       # nobody who grants also revokes or verifies
connectors:${connectors('crm', 'SCIM', [...account, 'grant staff', 'grant sales'], ['disable User', 'revoke *'], scim)}${connectors('desk', 'SCIM', [...account, 'grant shipping'], ['disable User', 'revoke *'], scim)}${connectors('pay', 'PostgreSQL', [...account, 'grant payroll-read', 'grant payroll-admin'], ['disable User', 'revoke *'], ['read User', 'read Role', 'read Connections'])}${
    corp === undefined
      ? ''
      : connectors(
          'corp',
          'OpenLDAP',
          [...account, 'grant directory', 'grant finance', 'grant purchasing'],
          ['disable User', 'revoke *'],
          ['read User', 'read Group'],
        )
  }

limits:                                                  # beyond these a plan refuses itself
  grants: { count: 80, subjects: 20, weight: 120 }
  removals: { count: 20, share: 5%, subjects: 10 }
approvals:
  low: 0                                                 # flows inside the envelope, without a person
  normal: { people: 1, role: owner }
  high: { people: 2, role: security, within: 24h }
envelope:                                                # what opens without people's signatures, each 24 hours
  window: 24h
  grants: { count: 200, subjects: 60, weight: 300 }
  removals: { count: 40, subjects: 15 }
  expires: ${expires}
local: { data: ., listen: 127.0.0.1:7400 }
`;
}
