export { clientExpects, hasMoved, isMoving as clientIsMoving } from './client.js'
export { clientChannels, hasLeft, isMoving as lspIsMoving, lspExpects, moveOf } from './lsp.js'
export * from './state.js'
export { inDelta, outDelta, roomFor } from './terms.js'
