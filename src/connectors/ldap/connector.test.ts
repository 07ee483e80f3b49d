import { describe } from 'vitest';
import { available, startOpenLdap } from '../../../examples/company/openldap.ts';
import { counterpart } from '../../../test/counterparts/counterpart.ts';
import { openLdapBench } from '../../../test/counterparts/ldap-bench.ts';
import { connectorSuite } from '../../connector/suite.ts';

describe.skipIf(!counterpart('OpenLDAP', available()))('against OpenLDAP', () => {
  connectorSuite('ldap (OpenLDAP)', async () => {
    const server = await startOpenLdap({ groups: ['finance', 'staff'] });
    const bench = openLdapBench({
      address: { url: server.url, ca: null, timeoutMs: 5000 },
      options: { base: server.base, people: server.people, groups: server.groups, flavour: 'openldap', pageSize: 3 },
      writer: server.writer,
      reader: server.reader,
      group: 'cn=finance,ou=groups',
    });
    return {
      ...bench,
      async close() {
        await bench.close();
        await server.stop();
      },
    };
  });
});
