export { ChainFollower, type FollowerOptions } from './follower.js'
export type { ChainEvent, ChainSource } from './events.js'
export { REORG_DEPTH } from './position.js'
