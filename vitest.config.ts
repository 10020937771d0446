import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const root = fileURLToPath(new URL('.', import.meta.url))

// Unit tests read the sources, so that no build stands between a change and its test. The suites under test/suites
// run the built plugin inside real nodes and are started by scripts/test after the build.
export default defineConfig({
  resolve: {
    alias: [
      { find: /^@ln-factory\/tlv$/, replacement: `${root}tlv/src/index.ts` },
      { find: /^@ln-factory\/core\/(.+)$/, replacement: `${root}factory-core/src/$1/index.ts` },
      { find: /^@ln-factory\/plugin$/, replacement: `${root}plugin/src/index.ts` },
    ],
  },
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['{tlv,factory-core,plugin}/test/**/*.test.ts'],
          setupFiles: ['test/setup/properties.ts'],
          testTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'network',
          include: ['test/suites/**/*.test.ts'],
          setupFiles: ['test/setup/properties.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          // Real daemons on a busy machine: one more try where nobody watches; what was tried twice is in the report.
          retry: process.env['CI'] === undefined ? 0 : 1,
          fileParallelism: false,
        },
      },
    ],
  },
})
