export * from './plan.js'
export { exitTransactions, lspDeadline } from './lsp.js'
