export * from './child.js'
export * from './limits.js'
export * from './refusal.js'
export * from './rule.js'
