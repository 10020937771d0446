/**
 * How a tree transaction goes out: alone while that relays and confirms, with a child that pays for it when not. One at a time, so
 * that no coin and no satoshi of the budget is used twice.
 */
import { allowance, type FeeLimits } from '../fees/limits.js'
import { buildChild, COIN_INPUT, finalizeChild, leastCoin, pickCoin, type Bump, type Child } from '../fees/child.js'
import { refusedForFee } from '../fees/refusal.js'
import { bumpDeadline, decideBump, type BumpDecision, type BumpSituation } from '../fees/rule.js'
import type { BroadcastResult, FeeWallet, Host, WalletCoin } from '../host/port.js'
import type { FactoryStore } from '../store/index.js'
import { outPointKey, sat, type BlockHeight, type InstanceId, type Sat, type Txid } from '../units/index.js'
import { Alarms } from './alarms.js'
import { Children, type Owner, type ParentRecord } from './children.js'
import type { Broadcast } from './executor.js'

export interface BumperDeps {
  readonly host: Pick<Host, 'broadcast' | 'newScript' | 'utxo' | 'log' | 'feeWallet'>
  readonly store: FactoryStore
  readonly limits: FeeLimits
  readonly height: () => BlockHeight
}

/** One parent whose own fee may not be enough. */
interface Parent {
  readonly owner: Owner
  readonly txid: Txid
  readonly raw: Uint8Array
  readonly bump: Bump
  /** What the mempool said to it alone. */
  readonly alone: BroadcastResult
  readonly record: ParentRecord
}

type Pay = Extract<BumpDecision, { do: 'bump' }>

export class FeeBumper {
  readonly #children: Children
  readonly #alarms: Alarms
  #turn: Promise<unknown> = Promise.resolve()

  constructor(readonly deps: BumperDeps) {
    this.#children = new Children(deps.store)
    this.#alarms = new Alarms(deps.host, this.#children)
  }

  /** What the operator must do so that a transaction of this factory confirms in time. */
  notice(instance: InstanceId): string | undefined {
    return this.#alarms.of(instance)
  }

  /** Of every child that was made for a transaction of this factory. */
  fees(instance: InstanceId): readonly Sat[] {
    return this.#children.fees(instance)
  }

  async send(owner: Owner, { tx, txid, bump }: Broadcast): Promise<BroadcastResult> {
    const alone = await this.deps.host.broadcast(tx)
    const fee = refusedForFee(alone.error)
    if (bump === undefined) return alone
    if (alone.confirmed === true || (!alone.accepted && !fee)) {
      this.#alarms.clear(owner, txid)
      return alone
    }
    const wallet = this.deps.host.feeWallet
    if (wallet === undefined) {
      if (fee)
        this.#alarms.raise(owner, txid, `this host can't add to its fee, and the mempool says: ${alone.error ?? ''}`)
      else this.#alarms.clear(owner, txid)
      return alone
    }
    const turn = this.#turn.then(async () => {
      try {
        const record = this.#children.get(owner, txid) ?? { since: this.deps.height(), child: undefined }
        return await this.#pay(wallet, { owner, txid, raw: tx, bump, alone, record })
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error)
        this.#alarms.raise(owner, txid, `no child could be made to pay for it: ${why}`)
        return alone
      }
    })
    // Whatever becomes of this one, the next has its turn.
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  /** In a block: a coin that was not needed after all is free again. */
  confirmed(owner: Owner, txid: Txid): void {
    this.#alarms.clear(owner, txid)
    const record = this.#children.get(owner, txid)
    const { host } = this.deps
    if (record?.child === undefined || host.feeWallet === undefined) return
    const { coin } = record.child
    const wallet = host.feeWallet
    this.#turn = this.#turn.then(async () => {
      try {
        // Our child may still be in the mempool, or in a block.
        if ((await host.utxo(coin.outpoint)) === undefined) return
        this.#children.set(owner, txid, { ...record, child: undefined })
        await wallet.release(coin)
      } catch (error) {
        host.log('warn', `coin ${outPointKey(coin.outpoint)} stays reserved: ${String(error)}`)
      }
    })
  }

  async #pay(wallet: FeeWallet, parent: Parent): Promise<BroadcastResult> {
    const { owner, txid, record, alone } = parent
    const limit = allowance(this.deps.limits, this.#children.otherFees(owner, txid))
    const situation = this.#situation(parent, await wallet.feerates(), limit)
    const decision = decideBump(situation)
    // The deadline counts from here, across restarts.
    if (record.child === undefined) this.#children.set(owner, txid, record)
    if (decision.do === 'wait') {
      this.#alarms.clear(owner, txid)
      return alone
    }
    if (decision.do === 'stuck') {
      this.#alarms.raise(
        owner,
        txid,
        `a child must pay ${decision.wanted} sat for it by height ${bumpDeadline(situation)}, and only ${limit} sat are ` +
          'allowed: raise factory-max-bump-fee or factory-bump-budget',
      )
      return alone
    }
    const funded = await this.#fund(wallet, situation, decision, record.child?.coin)
    if (funded === undefined) {
      this.#alarms.raise(
        owner,
        txid,
        `a child must pay ${decision.wanted} sat for it by height ${bumpDeadline(situation)}, and the wallet has no ` +
          `confirmed coin of ${leastCoin(decision.fee)} sat that is free: send coins to lightning-cli newaddr`,
      )
      return alone
    }
    return this.#send(wallet, parent, funded.pay, funded.coin)
  }

  #situation({ bump, record, alone }: Parent, rates: BumpSituation['rates'], limit: Sat): BumpSituation {
    return {
      height: this.deps.height(),
      since: record.since,
      margin: bump.margin,
      parentFee: bump.fee,
      parentVsize: bump.vsize,
      refused: !alone.accepted,
      child: record.child,
      rates,
      limit,
    }
  }

  /** A coin for that fee, or the largest there is and what it can pay. Reserved for us. */
  async #fund(
    wallet: FeeWallet,
    situation: BumpSituation,
    pay: Pay,
    last: WalletCoin | undefined,
  ): Promise<{ pay: Pay; coin: WalletCoin } | undefined> {
    const held = last !== undefined && (await wallet.renew(last)) ? last : undefined
    const coins = await wallet.coins()
    const take = async (price: Pay): Promise<{ pay: Pay; coin: WalletCoin } | undefined> => {
      const coin = pickCoin(coins, price.fee, held)
      if (coin === undefined) return undefined
      return coin === held || (await wallet.reserve(coin)) ? { pay: price, coin } : undefined
    }
    const enough = await take(pay)
    if (enough !== undefined) return enough
    const most = [...coins, ...(held === undefined ? [] : [held])].reduce(
      (m, c) => (c.amount > m ? c.amount : m),
      sat(0),
    )
    const affordable = most - leastCoin(sat(0))
    if (affordable <= 0n) return undefined
    const second = decideBump({ ...situation, limit: sat(affordable < pay.fee ? affordable : pay.fee) })
    return second.do === 'bump' ? take(second) : undefined
  }

  async #send(wallet: FeeWallet, parent: Parent, pay: Pay, coin: WalletCoin): Promise<BroadcastResult> {
    const { owner, txid, raw, bump, alone, record } = parent
    const { host } = this.deps
    const change = record.child?.change ?? (await host.newScript())
    const child = buildChild(bump.anchor, coin, change, pay.fee)
    const height = this.deps.height()
    this.#children.set(owner, txid, { ...record, child: { txid: child.txid, coin, change, fee: pay.fee, height } })
    const signed = finalizeChild(child, await wallet.sign(child.bytes, child.prevouts, COIN_INPUT))
    // In the mempool already, the parent needs no package.
    const sent = alone.accepted ? await host.broadcast(signed) : await wallet.submitPackage(raw, signed)
    if (!sent.accepted) return this.#notSent(parent, child, sent)
    this.#children.log(owner, 'broadcast', `${child.txid} pays ${pay.fee} sat for ${txid}`)
    const before = record.child?.coin
    if (before !== undefined && outPointKey(before.outpoint) !== outPointKey(coin.outpoint))
      await wallet.release(before)
    if (pay.capped) {
      const short = `a child pays ${pay.fee} sat for it where ${pay.wanted} sat are wanted: limits or coins don't allow more`
      this.#alarms.raise(owner, txid, short)
    } else this.#alarms.clear(owner, txid)
    return { accepted: true, error: undefined }
  }

  #notSent({ owner, txid, alone }: Parent, child: Child, sent: BroadcastResult): BroadcastResult {
    const why = sent.error ?? 'no reason given'
    if (alone.accepted) {
      // Often another participant's child, which pays as much: the next one pays more.
      this.deps.host.log(
        'info',
        `${child.txid}, which would pay ${child.fee} sat for ${txid}, was not accepted: ${why}`,
      )
      return alone
    }
    this.#alarms.raise(owner, txid, `its fee is too low for the mempool, and its package was not accepted: ${why}`)
    return { accepted: false, error: `${alone.error ?? 'refused'}; as a package: ${why}` }
  }
}
