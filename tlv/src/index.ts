export * from './error.js'
export * from './payload/types.js'
