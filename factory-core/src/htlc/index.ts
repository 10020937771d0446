export * from './decide.js'
export * from './deadline.js'
export * from './failure.js'
export * from './margins.js'
