import type { LdkStorage } from '@ln-factory/core/ldk'

/** Dies at a commit: just before it is made, or just after. */
export class Fuse {
  private left = Infinity
  private after = false
  blown = false

  set(commits: number, after: boolean): void {
    this.left = commits
    this.after = after
    this.blown = false
  }

  guard(storage: LdkStorage): LdkStorage {
    return {
      ...storage,
      commit: (writes) => {
        const dies = this.left-- === 0
        if (!dies || this.after) storage.commit(writes)
        if (!dies) return
        this.blown = true
        throw new Error('the process died')
      },
    }
  }
}
