/**
 * npm run fuzz -- [--minutes N] [--corpus]: the fuzz tests again and again, each round with other random choices, until the time is
 * over or one fails; a failure names the seed that repeats it. `--corpus` searches for short inputs instead, one for each way
 * that a decoder can answer, and writes them to tlv/test/corpus.json, which every test run replays.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath, URL } from 'node:url'
import { parseArgs } from 'node:util'
import { searchCorpus } from './fuzz-corpus.js'

const TESTS = ['tlv/test/fuzz.test.ts', 'factory-core/test/fuzz', 'plugin/test/commands/fuzz.test.ts']
/** How much longer a round is than the one in every test run. */
const FACTOR = 4

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, corpus: { type: 'boolean', default: false } },
})
const minutes = Number(values.minutes)
if (!(minutes > 0)) throw new Error('usage: npm run fuzz -- [--minutes N] [--corpus]')
const deadline = Date.now() + minutes * 60_000

if (values.corpus) searchCorpus(deadline)
else {
  let rounds = 0
  for (; Date.now() < deadline; rounds++) {
    const seed = String(Math.floor(Math.random() * 2 ** 31))
    console.log(`round ${rounds + 1}, LN_FACTORY_SEED=${seed} LN_FACTORY_FUZZ=${FACTOR}`)
    const { status } = spawnSync(
      'npx',
      ['vitest', 'run', '--project', 'unit', '--reporter=dot', '--testTimeout=3600000', ...TESTS],
      {
        cwd: fileURLToPath(new URL('..', import.meta.url)),
        env: { ...process.env, LN_FACTORY_SEED: seed, LN_FACTORY_FUZZ: String(FACTOR) },
        stdio: 'inherit',
      },
    )
    if (status !== 0) {
      console.error(`failed; repeat with LN_FACTORY_SEED=${seed} LN_FACTORY_FUZZ=${FACTOR}`)
      process.exit(1)
    }
  }
  console.log(`${rounds} rounds, no failure`)
}
