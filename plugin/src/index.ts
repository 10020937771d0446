export * from './host/index.js'
export * from './rpc/index.js'
