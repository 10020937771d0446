/** What one feeder can make a watchtower keep and do, at the most. Everything beyond is refused before it costs anything. */
export interface TowerLimits {
  /** Bytes of one bundle as text. */
  readonly bundleBytes: number
  /** Responses in one bundle. */
  readonly responses: number
  /** Transactions in one response. */
  readonly transactions: number
  /** Bytes of one transaction: version 3 allows no more (BIP 431: 10,000 vB). */
  readonly transactionBytes: number
  /** Inputs of one transaction: each is watched. */
  readonly inputs: number
  /** Bundles of one feeder. */
  readonly bundles: number
  /** Bytes of all bundles of one feeder together. */
  readonly feederBytes: number
  /** Bundles that one feeder may bring in the time of one block. */
  readonly perBlock: number
  /** Blocks that a new bundle may have searched for what happened before it came. */
  readonly lookBack: number
  /** Blocks for which a bundle is kept at the most. */
  readonly lifetime: number
}

export const towerLimits: TowerLimits = {
  bundleBytes: 2 ** 21,
  responses: 2000,
  transactions: 64,
  transactionBytes: 40_000,
  inputs: 16,
  bundles: 256,
  feederBytes: 2 ** 23,
  perBlock: 64,
  lookBack: 1008,
  lifetime: 60_000,
}
