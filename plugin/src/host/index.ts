export * from './cln.js'
export * from './hooks.js'
export * from './peers.js'
