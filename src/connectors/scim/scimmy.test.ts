/** Against scimmy-routers: a foreign server, with PATCH and entity tags, in this process because it is one a process. */
import { startScimServer } from '../../../examples/company/scim-server.ts';
import { connectorSuite } from '../../connector/suite.ts';
import { ENTITLEMENT, makeGroup, openBench } from './bench.ts';

const tokens = { writer: 'writer-token-1', reader: 'reader-token-1' };

connectorSuite('scim × scimmy-routers', async () => {
  const server = await startScimServer(tokens);
  await makeGroup(server.url, tokens.writer, ENTITLEMENT);
  await makeGroup(server.url, tokens.writer, 'Other');
  return openBench(server.url, tokens, { dialect: 'patch', pageSize: 50 }, { close: server.close });
});
