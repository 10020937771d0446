/** A client's requests for places, one per LSP: what it asked for, what it was told, and which invitation that consents to. */
import type { BlockHeight, InstanceId, NodeId, Sat } from '../units/index.js'

export interface Wish {
  readonly lsp: NodeId
  /** Name of the request, random. */
  readonly request: InstanceId
  readonly capacity: Sat
  readonly since: BlockHeight
  readonly answer:
    | { readonly kind: 'none' }
    | { readonly kind: 'accepted'; readonly place: number; readonly waiting: number }
    | { readonly kind: 'refused'; readonly reason: string }
  /** The latest invitation that was accepted because of it. */
  readonly instance: InstanceId | undefined
}

export type Wishes = readonly Wish[]

export const wishOf = (wishes: Wishes, lsp: NodeId): Wish | undefined => wishes.find((w) => w.lsp === lsp)

const put = (wishes: Wishes, wish: Wish): Wishes => [...wishes.filter((w) => w.lsp !== wish.lsp), wish]

/** Another wish at the same LSP replaces it. */
export const wish = (wishes: Wishes, made: Pick<Wish, 'lsp' | 'request' | 'capacity' | 'since'>): Wishes =>
  put(wishes, { ...made, answer: { kind: 'none' }, instance: undefined })

export const unwish = (wishes: Wishes, lsp: NodeId): Wishes => wishes.filter((w) => w.lsp !== lsp)

/** The LSP's answer; undefined when it answers nothing that was asked. */
export function answered(
  wishes: Wishes,
  lsp: NodeId,
  request: InstanceId,
  answer: Exclude<Wish['answer'], { kind: 'none' }>,
): Wishes | undefined {
  const asked = wishOf(wishes, lsp)
  return asked?.request === request ? put(wishes, { ...asked, answer }) : undefined
}

/**
 * Does a wish stand for this invitation? It does for one factory at a time, of exactly the capacity that was asked for; the policy's
 * limits hold all the same.
 * @param ended the earlier invitation that the wish stood for came to nothing
 */
export function consents(
  wishes: Wishes,
  invitation: { readonly lsp: NodeId; readonly instance: InstanceId; readonly capacity: bigint },
  ended: (instance: InstanceId) => boolean,
): boolean {
  const asked = wishOf(wishes, invitation.lsp)
  if (asked === undefined || asked.answer.kind === 'refused' || asked.capacity !== invitation.capacity) return false
  return asked.instance === undefined || asked.instance === invitation.instance || ended(asked.instance)
}

export function invited(wishes: Wishes, lsp: NodeId, instance: InstanceId): Wishes {
  const asked = wishOf(wishes, lsp)
  return asked === undefined ? wishes : put(wishes, { ...asked, instance })
}

/** What came true is no wish any more. The same object when none did. */
export function fulfilled(wishes: Wishes, isReal: (instance: InstanceId) => boolean): Wishes {
  const next = wishes.filter((w) => w.instance === undefined || !isReal(w.instance))
  return next.length === wishes.length ? wishes : next
}
