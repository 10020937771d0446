import type { InstanceId } from '../../src/units/index.js'
import type { Feeder, StoredBundle, TowerStore } from '../../src/watchtower/index.js'

/** What a tower has on disk: survives it. */
export class MemoryTowerStore implements TowerStore {
  readonly #settings = new Map<string, string>()
  readonly #bundles = new Map<string, StoredBundle>()

  setting(key: string): string | undefined {
    return this.#settings.get(key)
  }

  setSetting(key: string, value: string): void {
    this.#settings.set(key, value)
  }

  bundles(): readonly StoredBundle[] {
    return [...this.#bundles.values()]
  }

  put(feeder: Feeder, instance: InstanceId, text: string): void {
    this.#bundles.set(`${feeder}/${instance}`, { feeder, text })
  }

  remove(feeder: Feeder, instance: InstanceId): void {
    this.#bundles.delete(`${feeder}/${instance}`)
  }
}
