export * from './port.js'
export { decodeState, encodeState } from './codec.js'
export { markOf, missing, type MarkKind, type SignMark } from './mark.js'
