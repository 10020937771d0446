/** Host calls, executed: one place where the core's wishes meet the node. Answers come back as events. */
import { FactoryError } from '@ln-factory/tlv'
import type { BroadcastResult, DirectPayments, Host } from '../host/port.js'
import type { Event, HostCall, HostDone } from '../machine/index.js'

export type Broadcast = Extract<HostCall, { call: 'broadcast' }>

/** @param send how a transaction goes out */
export async function execute(
  host: Host,
  call: HostCall,
  send: (call: Broadcast) => Promise<BroadcastResult>,
): Promise<Event> {
  try {
    return { type: 'done', done: await perform(host, call, send) }
  } catch (error) {
    const code = error instanceof FactoryError ? error.code : 'internal'
    const text = error instanceof Error ? error.message : String(error)
    host.log('warn', `${call.call}: ${text}`)
    return { type: 'failed', call, code, error: text }
  }
}

async function perform(
  host: Host,
  call: HostCall,
  send: (call: Broadcast) => Promise<BroadcastResult>,
): Promise<HostDone> {
  switch (call.call) {
    case 'newScript':
      return { call: 'newScript', script: await host.newScript() }
    case 'fundingPrepare':
      return { call: 'fundingPrepare', funding: await host.fundingPrepare(call.script, call.amount) }
    case 'openStart': {
      const { script } = await host.openStart(call)
      return { call: 'openStart', peer: call.peer, script }
    }
    case 'openComplete': {
      const { channelId } = await host.openComplete(call.open)
      return { call: 'openComplete', peer: call.open.peer, channelId }
    }
    case 'launch':
      // Released first: from the broadcast on the channels carry money, and must survive whatever happens.
      for (const channelId of call.channels) await host.release(channelId)
      await host.fundingBroadcast(call.funding)
      return { call: 'launch' }
    case 'cleanUp':
      for (const peer of call.opens) await host.openCancel(peer)
      for (const { peer, channelId } of call.channels) await host.drop(peer, channelId)
      if (call.funding !== undefined) await host.fundingRelease(call.funding)
      return { call: 'cleanUp' }
    case 'channels':
      return { call: 'channels', channels: await host.channels() }
    case 'checkFunding':
      return { call: 'checkFunding', channelId: call.channelId, check: await host.checkFunding(call.channelId) }
    case 'utxo':
      return { call: 'utxo', outpoint: call.outpoint, output: await host.utxo(call.outpoint) }
    case 'broadcast':
      return { call: 'broadcast', txid: call.txid, result: await send(call) }
    case 'forceClose':
      await host.forceClose(call.peer, call.channelId)
      return { call: 'forceClose' }
    case 'release':
      await host.release(call.channelId)
      return { call: 'release', channelId: call.channelId }
    case 'expectPayment':
      return {
        call: 'expectPayment',
        hash: call.hash,
        secret: await direct(host).expect(call.hash, call.amount),
      }
    case 'payDirect':
      return { call: 'payDirect', payment: call.payment, preimage: await direct(host).pay(call.payment) }
    case 'drop':
      await host.drop(call.peer, call.channelId)
      return { call: 'drop' }
    case 'assistLook':
      return {
        call: 'assistLook',
        hash: call.hash,
        secret: await direct(host).expect(call.hash, call.amount),
        feerates: await host.feeWallet?.feerates(),
        script: await host.newScript(),
        channels: await host.channels(),
      }
    case 'assistFund':
      return { call: 'assistFund', hash: call.hash, funding: await host.fundingPrepare(call.script, call.amount) }
  }
}

function direct(host: Host): DirectPayments {
  if (host.direct === undefined)
    throw new FactoryError('host_unsupported', `${host.caps.name} can't move balances between channels`)
  return host.direct
}
