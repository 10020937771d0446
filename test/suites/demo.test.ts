import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { describeWithBitcoind } from './gate.js'

const DEMO = fileURLToPath(new URL('../dist/demo/main.js', import.meta.url))

describeWithBitcoind('the demo', () => {
  it('runs on LDK nodes where there is no lightningd, and says so', () => {
    const env = { ...process.env, LIGHTNINGD: '/nonexistent/lightningd' }
    const run = spawnSync(process.execPath, [DEMO, '--clients', '2'], { env, encoding: 'utf8' })
    expect(run.stderr).toBe('')
    expect(run.stdout).toContain('LDK nodes in this process')
    expect(run.stdout).toContain('$LIGHTNINGD is /nonexistent/lightningd, which is not an executable file')
    expect(run.stdout).toContain('Nothing is missing')
    expect(run.status).toBe(0)
  })
})
