// Sums what scripts/test left in its folder: `steps` (a status and a name a line), one vitest JSON report for each step
// that ran tests, and `skips` (the title of a skipped suite a line, its reason within). Ends with 1 when anything failed.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const folder = process.argv[2] ?? '.'
const lines = (name) =>
  readFileSync(join(folder, name), 'utf8')
    .split('\n')
    .filter((line) => line !== '')

const sum = { passed: 0, failed: 0, skipped: 0, files: 0 }
const failures = []
const gated = lines('skips')
const skips = [...gated]

function addReport(step, status) {
  const report = JSON.parse(readFileSync(join(folder, `${step}.json`), 'utf8'))
  const failedBefore = sum.failed
  for (const file of report.testResults) {
    sum.files++
    const failed = file.assertionResults.filter((test) => test.status === 'failed')
    const names = failed.map((test) => test.fullName)
    // A file that can't be loaded, or whose hooks throw, fails without a failed test.
    if (file.status === 'failed' && failed.length === 0) names.push(`${file.name}: ${file.message}`)
    failures.push(...names.map((name) => `${step}: ${name}`))
    sum.failed += names.length
    sum.passed += file.assertionResults.filter((test) => test.status === 'passed').length
    const unseen = file.assertionResults.filter((test) => !['failed', 'passed'].includes(test.status))
    sum.skipped += unseen.length
    // A gated suite left its title, which holds the reason; any other skip stands in the source.
    const unexplained = unseen.filter((test) => !gated.some((title) => test.fullName.startsWith(title)))
    skips.push(...unexplained.map((test) => `${test.fullName} (switched off in its source)`))
  }
  if (status !== 0 && sum.failed === failedBefore) fail(`${step}: vitest ended with ${status} though no test failed`)
}

function fail(what) {
  sum.failed++
  failures.push(what)
}

for (const line of lines('steps')) {
  const [, status, step] = /^(\d+) (.*)$/.exec(line)
  if (existsSync(join(folder, `${step}.json`))) addReport(step, Number(status))
  else if (status !== '0') fail(`${step}: ended with ${status}`)
}
if (sum.passed === 0) fail('no test passed')

const block = (title, entries) => {
  if (entries.length === 0) return
  console.log(`${'='.repeat(78)}\n${title}`)
  for (const entry of new Set(entries)) console.log(`  - ${entry}`)
  console.log('='.repeat(78))
}
block('FAILED', failures)
block('SKIPPED', skips)
console.log(
  `Test files ${sum.files}, tests ${sum.passed + sum.failed + sum.skipped}: build, lint and type-check count as a failure each when they fail`,
)
console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`)
process.exitCode = sum.failed === 0 ? 0 : 1
