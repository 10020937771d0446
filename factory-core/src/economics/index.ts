/** What factories cost and earn, and what their clients' balances are worth without the LSP. */
export * from './coverage.js'
export * from './exit-floor.js'
export * from './funding-fee.js'
