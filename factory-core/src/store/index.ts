export * from './port.js'
export { decodeState, encodeState } from './codec.js'
