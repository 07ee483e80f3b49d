import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts', 'examples/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Two cores: the tests start real servers, and more workers than cores only makes their timings lie.
    maxWorkers: 2,
    // In CI a test that starts real processes may try once more; vitest names each one that needed it.
    retry: process.env['CI'] ? 1 : 0,
    // After the numbers: what could not be run here.
    reporters: ['default', './test/loud.ts'],
  },
});
