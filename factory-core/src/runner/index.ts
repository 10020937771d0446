export * from './api.js'
export type { NodeDeps } from './engine.js'
export { FactoryNode } from './node.js'
export { defaultPolicy } from './policy.js'
