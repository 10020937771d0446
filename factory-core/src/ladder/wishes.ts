/**
 * A client's requests for places, one per LSP: what it asked for, what it was told, and which invitations that consents to. Once it has its
 * place it is a member: it consents to moving on to that LSP's next factories, until it withdraws or has no channel there any more.
 */
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
    | { readonly kind: 'member' }
  /** The latest invitation that was accepted because of it. */
  readonly instance: InstanceId | undefined
}

export type Wishes = readonly Wish[]
/** By the LSP. */
export type Told = Extract<Wish['answer'], { kind: 'accepted' | 'refused' }>

export const wishOf = (wishes: Wishes, lsp: NodeId): Wish | undefined => wishes.find((w) => w.lsp === lsp)

const put = (wishes: Wishes, wish: Wish): Wishes => [...wishes.filter((w) => w.lsp !== wish.lsp), wish]

/** Another wish at the same LSP replaces it. */
export const wish = (wishes: Wishes, made: Pick<Wish, 'lsp' | 'request' | 'capacity' | 'since'>): Wishes =>
  put(wishes, { ...made, answer: { kind: 'none' }, instance: undefined })

export const unwish = (wishes: Wishes, lsp: NodeId): Wishes => wishes.filter((w) => w.lsp !== lsp)

/** The LSP's answer; undefined when it answers nothing that was asked. */
export function answered(wishes: Wishes, lsp: NodeId, request: InstanceId, answer: Told): Wishes | undefined {
  const asked = wishOf(wishes, lsp)
  if (asked?.request !== request || asked.answer.kind === 'member') return undefined
  return put(wishes, { ...asked, answer })
}

/** Where a factory stands that a wish led to: `ended` also when it never came to be. */
export type Standing = 'forming' | 'standing' | 'ended'

/**
 * Does a wish stand for this invitation? It does for one factory at a time: the first must have exactly the capacity that was asked
 * for; a member's next one no less, because it must hold its balance. The policy's limits hold all the same.
 */
export function consents(
  wishes: Wishes,
  invitation: { readonly lsp: NodeId; readonly instance: InstanceId; readonly capacity: bigint },
  standing: (instance: InstanceId) => Standing,
): boolean {
  const asked = wishOf(wishes, invitation.lsp)
  if (asked === undefined || asked.answer.kind === 'refused') return false
  const before =
    asked.instance === undefined || asked.instance === invitation.instance ? 'ended' : standing(asked.instance)
  if (asked.answer.kind === 'member') return invitation.capacity >= asked.capacity && before !== 'forming'
  return invitation.capacity === asked.capacity && before === 'ended'
}

export function invited(wishes: Wishes, lsp: NodeId, instance: InstanceId): Wishes {
  const asked = wishOf(wishes, lsp)
  return asked === undefined ? wishes : put(wishes, { ...asked, instance })
}

/**
 * What came true makes a member, and a member without a place is none any more. The same object when nothing changed.
 * @param placed does this LSP have a channel for us in a factory that stands?
 */
export function settled(
  wishes: Wishes,
  standing: (instance: InstanceId) => Standing,
  placed: (lsp: NodeId) => boolean,
): Wishes {
  const next = wishes.flatMap((w): Wish[] => {
    if (w.answer.kind === 'member')
      return placed(w.lsp) || (w.instance !== undefined && standing(w.instance) === 'forming') ? [w] : []
    if (w.instance === undefined || standing(w.instance) !== 'standing') return [w]
    return [{ ...w, answer: { kind: 'member' } }]
  })
  return next.length === wishes.length && next.every((w, i) => w === wishes[i]) ? wishes : next
}
