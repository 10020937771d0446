import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { guardGroup, releaseGroup } from './guard.js'

const running = new Set<Daemon>()

/** The last lines of every live daemon's log: what a failed test should show. */
export function tailsOfRunning(lines = 25): string {
  return [...running].map((daemon) => `--- ${daemon.name} (pid ${daemon.pid})\n${daemon.tail(lines)}`).join('\n')
}

export interface Command {
  /** For messages. */
  readonly name: string
  readonly program: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** What it prints itself (stdout and stderr) is appended here. */
  readonly output: string
  /** Its own log, when that is another file. */
  readonly log?: string
}

/** One running server process, with all that it starts: they share a process group, which is killed as a whole. */
export class Daemon {
  readonly name: string
  readonly pid: number
  /** Resolves when the process has ended, however that came about. */
  readonly exited: Promise<string>
  private ending: string | undefined
  private readonly files: readonly string[]

  private constructor(child: ChildProcess, pid: number, command: Command) {
    this.name = command.name
    this.pid = pid
    this.files = command.log === undefined ? [command.output] : [command.output, command.log]
    running.add(this)
    guardGroup(pid)
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.ending = signal === null ? `exit code ${code ?? -1}` : `signal ${signal}`
        running.delete(this)
        // Children that outlived it belong to nobody any more.
        killGroup(pid)
        releaseGroup(pid)
        resolve(this.ending)
      })
    })
  }

  static async start(command: Command): Promise<Daemon> {
    const output = openSync(command.output, 'a')
    try {
      const child = spawn(command.program, command.args, {
        detached: true,
        stdio: ['ignore', output, output],
        env: { ...process.env, ...command.env },
      })
      await new Promise<void>((resolve, reject) => {
        child.once('spawn', resolve)
        child.once('error', reject)
      })
      if (child.pid === undefined) throw new Error(`${command.program} did not start`)
      return new Daemon(child, child.pid, command)
    } finally {
      closeSync(output)
    }
  }

  /** How it ended; undefined while it runs. */
  get ended(): string | undefined {
    return this.ending
  }

  tail(lines = 40): string {
    const text = this.files.filter((file) => existsSync(file)).map((file) => readFileSync(file, 'utf8'))
    return text.map((content) => content.trimEnd().split('\n').slice(-lines).join('\n')).join('\n')
  }

  /** Waits for an end that was asked for already; kills and throws when it doesn't come. */
  async expectExit(seconds = 60): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, seconds * 1000, undefined)
    })
    const ending = await Promise.race([this.exited, late])
    clearTimeout(timer)
    if (ending !== undefined) return
    const tail = this.tail()
    await this.kill9()
    throw new Error(`${this.name} was told to stop and did not within ${seconds} s:\n${tail}`)
  }

  /** SIGKILL to it and all its children. */
  async kill9(): Promise<void> {
    if (this.ending !== undefined) return
    killGroup(this.pid)
    await this.exited
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // The group is empty: nothing is left to kill.
  }
}
