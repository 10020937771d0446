export * from './client.js'
export * from './errors.js'
export * from './json-stream.js'
export * from './plugin.js'
