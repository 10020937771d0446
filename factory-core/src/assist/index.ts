/** Leaving to the chain with the LSP's help: an HTLC's output and an adaptor signature (docs/protocol.md). */
export { expectsAssistHtlc } from './lsp.js'
export { isBound, isLeaving, type ClientAssist, type LspAssist } from './state.js'
export { agreedAssist, assistFeerate, defaultMaxFee } from './quote.js'
