export * from './adopt.js'
export { channelIdAt } from './channel-id.js'
