/** Bundles by file: what is put into the directory is taken in and removed; what is refused is set aside with the reason beside it. */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { towerLimits, type Tower } from '@ln-factory/core/watchtower'

/** Its feeder: whoever may write to the directory. */
export const INBOX_FEEDER = 'inbox'

export class Inbox {
  constructor(readonly directory: string) {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
  }

  /** @returns how many were taken in */
  take(tower: Pick<Tower, 'accept'>, log: (text: string) => void): number {
    let taken = 0
    for (const name of readdirSync(this.directory)
      .filter((n) => n.endsWith('.json'))
      .sort()) {
      const file = join(this.directory, name)
      try {
        if (statSync(file).size > towerLimits.bundleBytes) throw new Error('too large')
        const { instance, sequence } = tower.accept(INBOX_FEEDER, readFileSync(file, 'utf8').trimEnd())
        rmSync(file)
        taken++
        log(`${name}: factory ${instance}, sequence ${sequence}`)
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error)
        log(`${name} refused: ${why}`)
        renameSync(file, `${file}.refused`)
        writeFileSync(`${file}.reason`, `${why}\n`, { mode: 0o600 })
      }
    }
    return taken
  }
}
