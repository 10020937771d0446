/** The transaction tree of a factory (docs: DESIGN section 4). The LSP calls `buildTree`, a client `buildPath`. */
export * from './types.js'
export {
  DUST,
  MAX_CLIENTS,
  MAX_EARLY_WARNING,
  MIN_CAPACITY,
  checkParams,
  defaultParams,
  earlyWarning,
} from './params.js'
export { FactoryKeys } from './keys.js'
export { fundingScript } from './funding.js'
export { exitSteps, planTree, type ExitStep } from './plan.js'
export { buildTree } from './build.js'
export { buildPath } from './path.js'
export {
  buildLeafState,
  leafClients,
  leafPlaceOf,
  rebalance,
  type LeafState,
  type LeafPlace,
  type LeafStateSpec,
  type LeafTerms,
} from './state.js'
export { pathInState, treeInStates, type LiveTree } from './latest.js'
export { advance, updatesLeft } from './odometer.js'
export { buildClose, closeOutputs, type CloseOutputs, type CloseTerms } from './close.js'
export {
  buildChain,
  checkSold,
  forSale,
  stocksIn,
  type ChainLink,
  type ForSale,
  type Sold,
  type Stock,
} from './chain.js'
export { finalize } from './finalize.js'
export { decodeTx, type DecodedTx } from './decode.js'
export { ANCHOR, isPayoutScript } from './script.js'
export { txidBytes, txidFromBytes } from './tx.js'
export { buildStockSweep, finalizeStockSweep, type StockSweep } from './sweep.js'
