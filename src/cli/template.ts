/** The writgate.yaml that `writgate init` writes: small enough to read whole, and each part says what it is for. */

/** @param owner person id @param delivery public key @param expires date until which the envelope holds */
export const configTemplate = ({
  tenant,
  owner,
  delivery,
  expires,
}: {
  tenant: string;
  owner: string;
  delivery: string;
  expires: string;
}): string => `\
# Writgate's configuration. This file proposes; what is in force is the copy that people signed (writgate authority).
# After an edit: writgate check, then writgate authority approve.
version: 1
tenant: ${tenant}
owner: ${JSON.stringify(owner)}                  # the person who answers for Writgate; he approves nothing that its rules ask for
delivery: ${delivery}   # opens first passwords: delivery.key, to keep where they are handed out

feeds:                        # where it is written who works here
  hr:
    csv: people.csv           # or ndjson: FILE, or json: { url: https://hr.example/people }
    asOf: { manifest: people.manifest.json }            # writgate feed stamp people.csv --as-of now
    contract: { mode: full, key: employee_id, maxAge: 26h, count: { min: 1, maxDrop: 10% } }
    absent: leaver            # whoever is missing in an accepted full snapshot has left
    map:                      # an attribute of a person: a CEL expression over \`row\`
      employeeId: row.employee_id
      name: row.first_name + " " + row.last_name
      login: row.login.lowerAscii()
      department: row.department
      startsOn: row.start_date
      endsOn: row.end_date

correlate: [employeeId, login]                          # the first exact single match wins; two are a quarantine

targets: {}                   # systems on which people have access. Examples:
#  crm:
#    scim: https://crm.example/scim/v2
#    match: userName == person.login
#    settles: 5s              # how long a read may show what was before a write; 2.25 s when nothing is said
#    leaver: { disable: now, delete: 90d }
#    protected: [svc-*]       # never touched
#    unmanaged: report        # what nobody wrote down: report, or propose to adopt or to revert (disable) it
#  corp:
#    ldap: ldaps://dc.example:636
#    flavour: ad              # or openldap
#    base: "dc=acme,dc=example"
#    match: sAMAccountName == person.login
#  pay:
#    postgres: postgres://db.example/pay
#    match: rolname == person.login

entitlements: {}              # what one can hold on them
#  staff: { on: crm, group: Staff, privilege: low }
#  payroll-admin: { on: pay, role: payroll_admin, privilege: high, maxFor: 8h, owner: "205" }

birthright: {}                # who has it without asking
#  everyone: { when: person.active, grant: [staff] }

connectors: {}                # who may do what there; each with a credential of its own (writgate secret NAME)
#  crm-read:   { on: crm, duties: [read],   owner: "103", credential: crm-read,   scope: [read User, read Group], expires: ${expires} }
#  crm-grant:  { on: crm, duties: [grant],  owner: "103", credential: crm-grant,  scope: [read User, read Group, create User, update User, enable User, grant staff], expires: ${expires} }
#  crm-revoke: { on: crm, duties: [revoke], owner: "103", credential: crm-revoke, scope: [read User, read Group, disable User, revoke *], expires: ${expires} }
#  crm-verify: { on: crm, duties: [verify], owner: "108", credential: crm-verify, scope: [read User, read Group], expires: ${expires} }

limits:                       # what makes a plan refuse itself
  grants: { count: 50, subjects: 50, weight: 100 }
  removals: { count: 20, share: 10%, subjects: 20 }

approvals:                    # 0: flows without a person, inside the envelope
  low: 0
  normal: { people: 1, role: security }
  high: { people: 2, role: security, within: 24h }

envelope:                     # what the gateway opens for without people's signatures
  window: 24h
  grants: { count: 100, weight: 100 }
  removals: { count: 50 }
  expires: ${expires}
`;

/** A feed to try it with. */
export const DEMO_FEED = `\
employee_id,first_name,last_name,login,department,start_date,end_date
1001,Ada,Ashby,aashby,Sales,2024-03-01,
1002,Ben,Brook,bbrook,Sales,2025-06-15,
1003,Cleo,Croft,ccroft,Finance,2023-11-20,
`;
