/** The ladder: factories with staggered lifetimes, and who moves when. Decisions are data; `runner/` acts on them. */
export * from './config.js'
export * from './timing.js'
export * from './presence.js'
export * from './types.js'
export * from './memory.js'
export { fundingFor, locked, lockedIn } from './capital.js'
export { decide } from './schedule.js'
