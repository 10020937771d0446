export * from './api.js'
export { FactoryNode, type NodeDeps } from './node.js'
export { defaultPolicy } from './policy.js'
