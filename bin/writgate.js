#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const entry = new URL('../dist/src/cli/main.js', import.meta.url);
if (existsSync(fileURLToPath(entry))) {
  const { start } = await import(entry.href);
  await start();
} else {
  console.error('writgate: not built yet; run `npm run build`');
  process.exitCode = 2;
}
