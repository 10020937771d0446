/** A factory's bundle for a watchtower, as its node gives it away. */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import type { ClientState, LspState } from '../ceremony/index.js'
import type { Context } from '../machine/index.js'
import { FINAL_DEPTH, isFinal } from '../finality/depth.js'
import { decodeTx } from '../tree/decode.js'
import type { Spend } from '../tree/types.js'
import { blockHeight, type Txid } from '../units/index.js'
import type { FactoryStore } from '../store/port.js'
import { encodeResponses, type Bundle, type Response } from './format.js'
import { responsesOf } from './responses.js'

/** Blocks after the expiry until which a tower should look: distributions and what follows them need time to confirm and to settle. */
const AFTER_EXPIRY = 2016

/** @param sequence greater than in any bundle of this factory before, when something in it has changed */
export function bundleOf(
  state: LspState | ClientState,
  context: Context,
  sequence: number,
  sold: readonly Spend[],
): Bundle {
  const { height } = context
  const expiry = state.role === 'lsp' ? state.expiry : state.invite.expiry
  const isBuried = (id: Txid): boolean => {
    const at = state.seen[id]
    return at !== undefined && isFinal(at, height)
  }
  return {
    instance: state.instance,
    sequence,
    // What was seen further back is told below, and what was not seen is not there.
    since: blockHeight(Math.max(0, state.createdAt, height - FINAL_DEPTH)),
    until: blockHeight(Math.max(expiry, height) + AFTER_EXPIRY),
    responses: responsesOf(state, context, sold).flatMap((response) => withoutBuried(response, isBuried)),
  }
}

/** What is in blocks so deep that no tower has to find them: a trigger that has come, transactions that are done. */
function withoutBuried(response: Response, isBuried: (id: Txid) => boolean): readonly Response[] {
  const { trigger } = response
  const transactions = response.transactions.filter((raw) => !isBuried(decodeTx(raw).txid))
  if (transactions.length === 0) return []
  if (trigger.when !== 'confirmed' || !isBuried(trigger.txid)) return [{ ...response, transactions }]
  return [{ ...response, transactions, trigger: { when: 'height', height: blockHeight(0) } }]
}

const SETTING = 'watchtower/sequence/'

/** The digest of what a bundle has done: two of the same do the same. */
export const digestOf = ({ responses }: Pick<Bundle, 'responses'>): string =>
  bytesToHex(sha256(utf8ToBytes(encodeResponses(responses))))

/** The bundle with its sequence: the last one that was given away, or the next when it does something else. Durable. */
export function numbered(store: Pick<FactoryStore, 'setting' | 'setSetting'>, bundle: Bundle): Bundle {
  const digest = digestOf(bundle)
  const [last = '0', known] = store.setting(SETTING + bundle.instance)?.split(' ') ?? []
  if (known === digest) return { ...bundle, sequence: Number(last) }
  const sequence = Number(last) + 1
  store.setSetting(SETTING + bundle.instance, `${sequence} ${digest}`)
  return { ...bundle, sequence }
}
