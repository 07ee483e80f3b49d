/** The process of one connector: `node runner.js <kind>`. It is started by `confinement.ts` and by nothing else. */
import { CONNECTORS, isKind } from '../connectors/table.ts';
import { serve } from './serve.ts';

const kind = process.argv[2];
if (!isKind(kind)) throw new Error(`no connector of the kind ${kind}; there are ${Object.keys(CONNECTORS).join(', ')}`);
serve((await CONNECTORS[kind]()).connector);
