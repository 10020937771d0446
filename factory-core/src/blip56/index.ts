export * from './types.js'
export { isHeld, newChange, newChangeLive, receiveChange, stepChange } from './machine.js'
export { nextFundingTxid } from './reconnect.js'
