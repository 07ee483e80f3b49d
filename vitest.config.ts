import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts', 'examples/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Two cores: the tests start real servers, and more workers than cores only makes their timings lie.
    maxWorkers: 2,
    // After the numbers: what could not be run here.
    reporters: ['default', './test/loud.ts'],
  },
});
