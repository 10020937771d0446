import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { BitcoindRpc, btcOfSat, type BitcoindResult } from './bitcoindRpc.js'
import { Daemon } from './daemon.js'
import { tempDir, type TempDir } from './guard.js'
import { freePort } from './ports.js'
import { findBitcoind, type BitcoindProgram } from './programs.js'
import { until } from './wait.js'

const USER = 'regtest'
const PASSWORD = 'regtest'
/** Coinbases of this many blocks are spendable at the start, 50 BTC each. */
const MATURE = 10

export interface BitcoindOptions {
  readonly extraArgs?: readonly string[]
}

/** How another program reaches it. */
export interface BitcoindAccess {
  readonly cli: string
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly datadir: string
}

/** A regtest bitcoind of its own, without peers, with a wallet that has coins. */
export class Bitcoind {
  private constructor(
    readonly program: BitcoindProgram,
    readonly access: BitcoindAccess,
    private readonly dir: TempDir,
    private extraArgs: readonly string[],
    private readonly rpc: BitcoindRpc,
    private daemon: Daemon,
  ) {}

  static async start({ extraArgs = [] }: BitcoindOptions = {}): Promise<Bitcoind> {
    const found = findBitcoind()
    if (!found.found) throw new Error(found.why)
    const dir = tempDir()
    const datadir = join(dir.path, 'bitcoind')
    mkdirSync(datadir)
    const port = await freePort()
    const access = { cli: found.program.cli, host: '127.0.0.1', port, user: USER, password: PASSWORD, datadir }
    // Its wallet by name: there may be others.
    const rpc = new BitcoindRpc(`http://${access.host}:${port}/wallet/harness`, USER, PASSWORD)
    try {
      const daemon = await launch(found.program, access, extraArgs, rpc)
      const bitcoind = new Bitcoind(found.program, access, dir, extraArgs, rpc, daemon)
      await rpc.call('createwallet', ['harness'])
      await bitcoind.mine(100 + MATURE)
      return bitcoind
    } catch (error) {
      dir.remove()
      throw error
    }
  }

  get pid(): number {
    return this.daemon.pid
  }

  /** @throws RpcError */
  call<M extends string>(
    method: M,
    params?: readonly unknown[] | Readonly<Record<string, unknown>>,
  ): Promise<BitcoindResult<M>> {
    return this.rpc.call(method, params)
  }

  height(): Promise<number> {
    return this.call('getblockcount')
  }

  /** Mines blocks that take in what the mempool holds; returns their hashes. */
  async mine(blocks: number): Promise<readonly string[]> {
    const address = await this.call('getnewaddress')
    return await this.call('generatetoaddress', [blocks, address])
  }

  /** Pays from its own wallet, unconfirmed; returns the txid. */
  fund(address: string, sats: number): Promise<string> {
    return this.call('sendtoaddress', [address, btcOfSat(sats)])
  }

  /** Waits until these transactions (or any one, when none is named) are in the mempool; returns the mempool's txids. */
  async waitForMempool(txids: readonly string[] = [], seconds = 60): Promise<readonly string[]> {
    return await until(
      async () => {
        const mempool = await this.call('getrawmempool')
        return mempool.length > 0 && txids.every((txid) => mempool.includes(txid)) && mempool
      },
      { what: txids.length === 0 ? 'a transaction in the mempool' : `${txids.join(', ')} in the mempool`, seconds },
    )
  }

  /** Confirmations of a transaction: 0 in the mempool, undefined when nowhere. */
  async confirmations(txid: string): Promise<number | undefined> {
    try {
      const tx = await this.call('getrawtransaction', [txid, true])
      return tx.confirmations ?? 0
    } catch {
      return undefined
    }
  }

  /**
   * Replaces the last `depth` blocks by `depth + 1` empty ones, so that every transaction in them is unconfirmed again
   * (coinbases are gone). Returns the hashes of the new blocks.
   */
  async reorg(depth: number): Promise<readonly string[]> {
    const height = await this.height()
    await this.call('invalidateblock', [await this.call('getblockhash', [height - depth + 1])])
    const hashes: string[] = []
    for (let i = 0; i <= depth; i++) {
      // A new address each time: a block equal to one that was invalidated would be refused.
      const { hash } = await this.call('generateblock', [await this.call('getnewaddress'), []])
      hashes.push(hash)
    }
    return hashes
  }

  /** Stops it cleanly and keeps its data; `restart` brings it back. */
  async halt(): Promise<void> {
    await this.call('stop')
    await this.daemon.expectExit()
  }

  /** The same chain, mempool and port, with other arguments when some are given; `halt` first. */
  async restart({ extraArgs = this.extraArgs }: BitcoindOptions = {}): Promise<void> {
    if (this.daemon.ended === undefined) await this.halt()
    this.extraArgs = extraArgs
    this.daemon = await launch(this.program, this.access, this.extraArgs, this.rpc)
    await this.call('loadwallet', ['harness']).catch((error: unknown) => {
      if (!(error instanceof Error && error.message.includes('already loaded'))) throw error
    })
  }

  /** Ends it and removes its data. Safe to call again. */
  async stop(): Promise<void> {
    // Nothing of it is kept, so there is nothing that a clean end would save.
    await this.daemon.kill9()
    this.dir.remove()
  }
}

async function launch(
  program: BitcoindProgram,
  access: BitcoindAccess,
  extraArgs: readonly string[],
  rpc: BitcoindRpc,
): Promise<Daemon> {
  const daemon = await Daemon.start({
    name: 'bitcoind',
    program: program.daemon,
    args: [
      '-regtest',
      `-datadir=${access.datadir}`,
      '-server=1',
      `-rpcport=${access.port}`,
      `-rpcbind=${access.host}`,
      '-rpcallowip=127.0.0.1',
      `-rpcuser=${access.user}`,
      `-rpcpassword=${access.password}`,
      // Each lightningd asks over several connections at once.
      '-rpcthreads=16',
      '-rpcworkqueue=512',
      '-listen=0',
      '-connect=0',
      '-dnsseed=0',
      '-txindex=1',
      '-fallbackfee=0.00002',
      // The relay rules of the main network: what is accepted here must be accepted there.
      '-acceptnonstdtxn=0',
      ...(program.knots ? ['-mempooltruc=enforce'] : []),
      '-dbcache=16',
      '-printtoconsole=0',
      ...extraArgs,
    ],
    output: join(access.datadir, 'output.log'),
    log: join(access.datadir, 'regtest', 'debug.log'),
  })
  try {
    await until(
      async () => {
        if (daemon.ended !== undefined) return 'ended'
        await rpc.call('getblockchaininfo')
        return 'ready'
      },
      { what: 'bitcoind to answer', seconds: 120 },
    )
    if (daemon.ended !== undefined) throw new Error(`bitcoind ended at once, with ${daemon.ended}`)
  } catch (error) {
    const tail = daemon.tail()
    await daemon.kill9()
    throw new Error(`bitcoind did not start:\n${tail}`, { cause: error })
  }
  return daemon
}
