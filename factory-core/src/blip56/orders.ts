/** What the factory may order, and when. An order out of turn throws: it is the plugin's mistake, never the peer's. */
import { FactoryError } from '@ln-factory/tlv'
import { enterCommitting, enterIdleIfLocked, resumeIfContinued } from './exchange.js'
import { baseOf, changeMessage, fundingMessage, idle, isCovered, lockedMessage, misuse, stay, warn } from './steps.js'
import type { ChangeContext, ChangeLive, ChangeState, ChangeStep, FactoryOrder, Share } from './types.js'

/** @throws FactoryError `wrong_state`, `bad_amount`, `bad_key` */
export function onOrder(state: ChangeState, live: ChangeLive, order: FactoryOrder, context: ChangeContext): ChangeStep {
  switch (order.order) {
    case 'init': {
      if (!state.ready) throw misuse('the channel has not sent channel_ready')
      if (state.shutdown) throw misuse('the channel has sent shutdown')
      if (state.stage !== 'idle') throw misuse(`another change is ${state.stage}`)
      if (live.quiescence !== 'ours') throw misuse('the channel is not quiescent by our stfu')
      checkShare(state, order.share, context)
      const message = changeMessage('factory_change_init', state, order.share, order.payload)
      return stay({ ...baseOf(state), stage: 'asked', ours: order.share }, { do: 'send', message })
    }
    case 'ack': {
      if (state.stage !== 'deciding') throw misuse('no factory_change_init waits for an answer')
      checkShare(state, order.share, context)
      const message = changeMessage('factory_change_ack', state, order.share, order.payload)
      return stay(
        {
          ...baseOf(state),
          stage: 'naming',
          ours: order.share,
          theirs: state.theirs,
          checked: true,
          sent: undefined,
          received: undefined,
        },
        { do: 'send', message },
        { do: 'ask', order: 'name' },
      )
    }
    case 'approve':
      if (state.stage !== 'naming' || state.checked) throw misuse('no factory_change_ack waits for approval')
      return stay({ ...state, checked: true }, { do: 'ask', order: 'name' })
    case 'refuse':
      if (state.stage !== 'deciding' && (state.stage !== 'naming' || state.checked))
        throw misuse('nothing waits for approval')
      return warn(idle(state), `the factory refused: ${order.reason}`)
    case 'name': {
      if (state.stage !== 'naming' || !state.checked)
        throw misuse(`a funding can't be named: the change is ${state.stage}`)
      if (state.sent !== undefined) throw misuse('the funding has been named')
      if (state.funding.txid === order.funding.txid) throw misuse('that is the funding of now')
      const message = fundingMessage('factory_change_funding', state, order.funding)
      return enterCommitting(stay({ ...state, sent: order.funding }, { do: 'send', message }), context)
    }
    case 'continue': {
      if (state.stage !== 'continuing') throw misuse(`the commitments are not there: the change is ${state.stage}`)
      if (state.sent) return stay(state)
      const message = fundingMessage('factory_change_continue', state, state.next)
      return resumeIfContinued(stay({ ...state, sent: true }, { do: 'send', message }))
    }
    case 'lock': {
      if (state.stage !== 'changed') throw misuse(`nothing is there to lock: the change is ${state.stage}`)
      if (order.txid !== state.next.txid) throw misuse('that is not the funding of this change')
      if (state.sent) return stay(state)
      const locked = { txid: order.txid, commitment: context.commitment }
      const message = lockedMessage(state, order.txid)
      return enterIdleIfLocked(stay({ ...state, sent: true, locked }, { do: 'send', message }))
    }
  }
}

function checkShare(state: ChangeState, share: Share, context: ChangeContext): void {
  if (!isCovered(share.contribution, context.balances.ours))
    throw new FactoryError('bad_amount', `${-share.contribution} sat are more than our balance`)
  if (Buffer.compare(share.fundingPubkey, state.fundingPubkey) === 0)
    throw new FactoryError('bad_key', 'the funding key is the one of now')
}
