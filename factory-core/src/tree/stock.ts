/** The stock output: key path of the LSP and its clients together, the LSP alone after the CSV, the clients by poison. */
import { concatBytes } from '@noble/hashes/utils.js'
import { FactoryError } from '@ln-factory/tlv'
import { participants } from './participants.js'
import type { FactoryKeys } from './keys.js'
import { controlBlock, csvScript, p2tr, poisonScript, tapBranchHash, tapLeafHash } from './script.js'
import type { StockGroup } from './shape.js'
import type { Spend, SpendKey, TreeParams } from './types.js'

export interface StockScripts {
  /** Output script. */
  readonly script: Uint8Array
  /** For the distribution and later sales: all sign. */
  readonly keyPath: Extract<SpendKey, { path: 'key' }>
  /** For the poison: all sign, with the untweaked aggregate. */
  readonly poison: Extract<SpendKey, { path: 'script' }>
}

/** `poisonHash`: of the leaf state, 32 bytes. */
export function stockScripts(
  params: TreeParams,
  keys: FactoryKeys,
  stock: StockGroup,
  poisonHash: Uint8Array,
): StockScripts {
  const internal = keys.aggregate(participants(stock))
  const csv = csvScript(params.stockCsv, keys.lsp)
  const poison = poisonScript(poisonHash, internal.xonly)
  const csvHash = tapLeafHash(csv)
  const poisonLeaf = tapLeafHash(poison)
  const merkleRoot = tapBranchHash(csvHash, poisonLeaf)
  const output = internal.taproot(merkleRoot)
  return {
    script: p2tr(output.xonly),
    keyPath: { path: 'key', merkleRoot },
    poison: {
      path: 'script',
      leafScript: poison,
      controlBlock: controlBlock(output.parity, internal.xonly, csvHash),
    },
  }
}

/**
 * The LSP's own branch of the stock that `poison` spends: signed with the LSP's plain factory key, in a transaction whose
 * nSequence is at least `stockCsv`, once the leaf has as many confirmations.
 * @throws FactoryError `bad_parameter` when `poison` is another kind of spend
 */
export function stockCsvBranch(params: TreeParams, lspKey: Uint8Array, poison: Spend): StockScripts['poison'] {
  if (poison.key.path !== 'script') throw new FactoryError('bad_parameter', `${poison.id} spends no stock by script`)
  const { controlBlock: block, leafScript } = poison.key
  const parityAndKey = block.subarray(0, 33)
  return {
    path: 'script',
    leafScript: csvScript(params.stockCsv, lspKey.subarray(1)),
    controlBlock: concatBytes(parityAndKey, tapLeafHash(leafScript)),
  }
}
