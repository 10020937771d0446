/** Positions of clients in the tree to participants of the factory: the client at position i is participant i + 1. */
import { LSP, participantIndex, type ParticipantIndex } from '../units/index.js'
import type { Group } from './shape.js'

/** The clients of `group`, ascending. */
export const clientsOf = (group: Group): ParticipantIndex[] =>
  Array.from({ length: group.to - group.from }, (_, i) => participantIndex(group.from + i + 1))

/** The LSP and the clients of `group`, ascending. */
export const participants = (group: Group): ParticipantIndex[] => [LSP, ...clientsOf(group)]

export const positionOf = (client: ParticipantIndex): number => client - 1
