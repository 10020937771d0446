import { spawnSync } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'

/** A program of this machine, or why a network that needs it can't be built; the reason is a sentence for a person. */
export type Program<T> = { readonly found: true; readonly program: T } | { readonly found: false; readonly why: string }

export interface BitcoindProgram {
  readonly daemon: string
  readonly cli: string
  /** First line of `bitcoind -version`. */
  readonly version: string
  /** Knots needs a switch to relay version 3 transactions by the rules that Bitcoin Core has. */
  readonly knots: boolean
}

export interface LightningdProgram {
  readonly daemon: string
  readonly version: string
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

function onPath(name: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '')
  return folders.map((folder) => join(folder, name)).find(executable)
}

/** A path that the environment names wins over PATH, so that one machine can test several versions. */
function locate(name: string, variable: string): Program<string> {
  const named = process.env[variable]
  if (named !== undefined && named !== '') {
    return executable(named)
      ? { found: true, program: named }
      : { found: false, why: `$${variable} is ${named}, which is not an executable file` }
  }
  const path = onPath(name)
  if (path !== undefined) return { found: true, program: path }
  return { found: false, why: `no ${name}: it is neither on PATH nor named by $${variable}` }
}

function firstLine(program: string, flag: string): string {
  const run = spawnSync(program, [flag], { encoding: 'utf8', timeout: 30_000 })
  if (run.error !== undefined || run.status !== 0) return ''
  return run.stdout.split('\n')[0] ?? ''
}

export function findBitcoind(): Program<BitcoindProgram> {
  const daemon = locate('bitcoind', 'LN_FACTORY_BITCOIND')
  if (!daemon.found) return daemon
  const beside = join(dirname(daemon.program), 'bitcoin-cli')
  const cli = executable(beside) ? beside : onPath('bitcoin-cli')
  if (cli === undefined) {
    return { found: false, why: `no bitcoin-cli: it is neither beside ${daemon.program} nor on PATH` }
  }
  const version = firstLine(daemon.program, '-version')
  if (version === '') return { found: false, why: `${daemon.program} -version does not run` }
  return { found: true, program: { daemon: daemon.program, cli, version, knots: version.includes('Knots') } }
}

export function findLightningd(): Program<LightningdProgram> {
  const daemon = locate('lightningd', 'LIGHTNINGD')
  if (!daemon.found) return daemon
  const version = firstLine(daemon.program, '--version')
  if (version === '') return { found: false, why: `${daemon.program} --version does not run` }
  return { found: true, program: { daemon: daemon.program, version } }
}

/** The engine behind `docker`, which testcontainers drives; asked for its version, as the client alone proves nothing. */
export function findContainerEngine(): Program<{ readonly version: string }> {
  const client = onPath('docker')
  if (client === undefined) return { found: false, why: 'no container engine: there is no docker on PATH' }
  const run = spawnSync(client, ['version', '--format', '{{.Server.Version}}'], { encoding: 'utf8', timeout: 30_000 })
  const version = run.status === 0 ? run.stdout.trim() : ''
  if (version === '')
    return { found: false, why: 'no container engine: docker is on PATH, but its daemon does not answer' }
  return { found: true, program: { version } }
}
