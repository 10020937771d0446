export * from './parse.js'
export * from './specs.js'
