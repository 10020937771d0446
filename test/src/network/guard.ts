import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Writable } from 'node:stream'

/**
 * Reads `+pid`, `-pid` and `dir path` lines; when its input ends, kills what is left. Its input is a pipe from us, so it
 * ends whichever way we do, kill -9 included. It has a session of its own, so a ctrl-C leaves it alive to do its work.
 */
const SCRIPT = `
groups=' '
dirs=
while read -r verb value; do
  case $verb in
    +) groups="$groups$value " ;;
    -) groups=$(printf '%s' "$groups" | sed "s/ $value / /") ;;
    dir) dirs="$dirs $value" ;;
  esac
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
[ -n "$dirs" ] && sleep 1 && rm -rf $dirs
`

type Guard = ChildProcessByStdio<Writable, null, null>
let guard: Guard | undefined

function tell(line: string): void {
  if (guard === undefined) {
    guard = spawn('sh', ['-c', SCRIPT], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
    // The guard must outlive our last piece of work, not keep us alive for it.
    guard.unref()
    if (guard.stdin instanceof Socket) guard.stdin.unref()
    guard.stdin.on('error', () => undefined)
    // A test worker whose runner was killed would finish its test first, however long that takes.
    process.once('disconnect', () => process.exit())
  }
  guard.stdin.write(`${line}\n`)
}

/** From now on this process group dies with us. */
export function guardGroup(pid: number): void {
  tell(`+ ${pid}`)
}

/** The group has ended: its number may come back as somebody else's. */
export function releaseGroup(pid: number): void {
  tell(`- ${pid}`)
}

export interface TempDir {
  readonly path: string
  remove(): void
}

/** A new private folder, removed with `remove` or when we end. `LN_FACTORY_KEEP=1` keeps it, for reading logs. */
export function tempDir(): TempDir {
  const path = mkdtempSync(join(tmpdir(), 'ln-factory-'))
  if (process.env['LN_FACTORY_KEEP'] === '1') {
    process.stderr.write(`kept by LN_FACTORY_KEEP: ${path}\n`)
    return { path, remove: () => undefined }
  }
  tell(`dir ${path}`)
  return {
    path,
    remove: () => {
      rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
    },
  }
}
