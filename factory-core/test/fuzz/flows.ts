/** Lives of factories, honest and not so lucky, for whoever listens to the machines meanwhile. */
import { msat } from '../../src/units/index.js'
import { Net } from '../simulation/net.js'

/** Each goes through as many stages as it can; what it ends with is no matter here. */
export const flows: readonly (() => Promise<Net>)[] = [
  async function closedTogether() {
    const net = await Net.of(11, 2)
    const instance = await net.active(net.request({}, msat(5000)))
    net
      .node(net.lsp)
      .close(instance, 2000)
      .catch(() => undefined)
    await net.world.run()
    await net.world.mine(3)
    await net.heal()
    await net.world.mine(110)
    return net
  },
  async function leftByAClient() {
    const net = await Net.of(12, 3)
    const instance = await net.active()
    net
      .node(net.client(0))
      .exit(instance)
      .catch(() => undefined)
    await net.world.run()
    await net.world.mine(40)
    return net
  },
  async function leftByTheLsp() {
    const net = await Net.of(13, 2)
    const instance = await net.active()
    net
      .node(net.lsp)
      .exit(instance)
      .catch(() => undefined)
    await net.world.run()
    await net.world.mine(60)
    return net
  },
  async function restartedAllTheTime() {
    const net = await Net.of(14, 2)
    const instance = await net.active()
    for (const id of net.all) net.world.crash(id)
    await net.heal()
    net
      .node(net.lsp)
      .close(instance, 2000)
      .catch(() => undefined)
    for (let i = 0; i < 12; i++) await net.world.step()
    for (const id of net.clients) net.world.crash(id)
    await net.converge()
    return net
  },
  async function givenUp() {
    const net = await Net.of(15, 2, { autoAccept: [] })
    const { instance } = await net.order()
    await net.node(net.client(0)).answer(instance, true)
    await net.world.run()
    net.world.disconnect(net.lsp, net.client(1))
    await net.converge()
    return net
  },
  async function reorganised() {
    const net = await Net.of(16, 2)
    await net.active()
    net.world.chain.reorg(2)
    await net.world.mine(4)
    return net
  },
  async function expired() {
    const net = await Net.of(17, 2)
    await net.active()
    net.world.crash(net.lsp)
    await net.world.mine(1010)
    return net
  },
]
