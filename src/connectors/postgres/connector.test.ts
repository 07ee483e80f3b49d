import { openPostgresBench, startTarget } from '../../../test/counterparts/postgres-bench.ts';
import { servers } from '../../../test/scratch.ts';
import { connectorSuite } from '../../connector/suite.ts';

for (const [name, binaries] of await servers()) {
  connectorSuite(`postgres (${name})`, async () => {
    const target = await startTarget(binaries);
    const bench = openPostgresBench(target);
    return {
      ...bench,
      async close() {
        await bench.close();
        await target.close();
      },
    };
  });
}
