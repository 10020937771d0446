/** A wallet in bitcoind for each node that has none of its own. */
import { Bitcoind, BitcoindRpc } from '../network/index.js'

/** A new wallet in it, and bitcoind as its owner calls it. */
export async function addWallet(bitcoind: Bitcoind, name: string): Promise<BitcoindRpc> {
  await bitcoind.call('createwallet', [name])
  const { host, port, user, password } = bitcoind.access
  return new BitcoindRpc(`http://${host}:${port}/wallet/${name}`, user, password)
}

/** Unconfirmed. With segwit: these nodes' default may be without. */
export async function fundWallet(bitcoind: Bitcoind, to: BitcoindRpc, sats: number): Promise<void> {
  await bitcoind.fund(await to.call('getnewaddress', ['', 'bech32m']), sats)
}

/** What the nodes of this process say, on stderr when it was asked for. */
export const logOf =
  (name: string) =>
  (level: string, text: string): void => {
    if (process.env['LN_FACTORY_LDK_LOG'] !== undefined) process.stderr.write(`${name} ${level} ${text}\n`)
  }
