import { describe, expect, it } from 'vitest'
import { blocks, type InstanceId } from '../../src/units/index.js'
import { Net, params } from '../simulation/net.js'

const short = { params: { ...params, stockCsv: blocks(30) } }

describe('the LSP leaves', () => {
  it('publishes the whole tree, closes every channel and sweeps its stocks', async () => {
    const net = await Net.of(1, 5)
    const instance = await net.active(net.request(short))
    const exiting = net.node(net.lsp).exit(instance)
    await net.world.run()
    expect((await exiting).transactions.map((t) => t.role)).toEqual(['static', 'kickoff', 'leaf', 'kickoff', 'leaf'])
    await net.world.mine(90)
    expect((await net.show(net.lsp, instance))?.phase).toBe('exited')
    for (const id of net.clients)
      for (const c of net.host(id).mine.values()) expect(net.world.chain.coin(c.funding)).toBeUndefined()
  })

  it('leaves by every other branch when a signature is lost', async () => {
    const net = await Net.of(6, 5)
    const instance = await net.active(net.request(short))
    net.disk(net.lsp).items.get(instance)?.delete('sig/leaf:0')
    // Their nodes would publish that leaf.
    for (const id of net.clients) net.world.crash(id)
    const exiting = net.node(net.lsp).exit(instance)
    await net.world.run()
    await exiting
    await net.world.mine(40)
    const confirmed = (await net.show(net.lsp, instance))?.transactions.filter((t) => t.confirmed !== undefined)
    expect(confirmed?.map((t) => t.id)).toEqual(['static:0', 'kickoff:0', 'kickoff:1', 'leaf:1'])
  })

  it('goes on after a restart at any block', async () => {
    const net = await Net.of(2, 3)
    const instance = await net.active(net.request(short))
    const exiting = net.node(net.lsp).exit(instance)
    await net.world.run()
    await exiting
    for (let i = 0; i < 80; i++) {
      await net.world.mine(1)
      net.world.crash(net.lsp)
      await net.heal()
    }
    expect((await net.show(net.lsp, instance))?.phase).toBe('exited')
  })

  it('starts by itself at its deadline, so that the expiry does not give everything away', async () => {
    const net = await Net.of(3, 2)
    const instance = await net.active(net.request({ ...short, lifetime: blocks(400) }))
    const shown = await net.show(net.lsp, instance)
    if (shown === undefined) throw new Error('no factory')
    const deadline = shown.expiry - shown.earlyWarning - shown.params.confirmationMargin
    await net.world.mine(deadline - net.world.chain.height - 1)
    expect((await net.show(net.lsp, instance))?.phase).toBe('active')
    await net.world.mine(1)
    expect((await net.show(net.lsp, instance))?.phase).toBe('exiting')
    await net.world.mine(shown.earlyWarning)
    for (const id of net.clients)
      for (const c of net.host(id).mine.values()) expect(net.world.chain.coin(c.funding)).toBeUndefined()
    expect(net.world.chain.height).toBeLessThan(shown.expiry)
  })
})

describe('HTLC rule 3 takes a path on chain', () => {
  const stuck = async (direction: 'in' | 'out', answered: boolean): Promise<{ net: Net; w: number; start: number }> => {
    const net = await Net.of(4, 5)
    const instance = await net.active(net.request(short))
    const w = (await net.show(net.lsp, instance))?.earlyWarning ?? 0
    const [channel] = [...net.host(net.client(4)).mine.values()]
    // As the acceptor, the client, sees it.
    channel?.htlcs.push({ direction, expiry: net.world.chain.height + w + 40, answered })
    return { net, w, start: net.world.chain.height }
  }
  const phases = async (net: Net): Promise<string[]> =>
    net.phases([...net.disk(net.lsp).machines.keys()][0] as InstanceId)

  it('the client’s own, when what it offered is not settled', async () => {
    const { net } = await stuck('out', false)
    await net.world.mine(39)
    expect(await phases(net)).toEqual(['active', 'active', 'active', 'active', 'active', 'active'])
    await net.world.mine(1)
    expect(await phases(net)).toEqual(['active', 'active', 'active', 'active', 'active', 'exiting'])
  })

  it('that client’s only, when the LSP’s HTLC is not settled; the others stay', async () => {
    const { net } = await stuck('in', false)
    net.world.crash(net.client(4))
    await net.world.mine(40)
    await net.world.mine(25)
    const instance = [...net.disk(net.lsp).machines.keys()][0] as InstanceId
    const shown = await net.show(net.lsp, instance)
    expect(shown?.phase).toBe('active')
    expect(shown?.transactions.filter((t) => t.confirmed !== undefined).map((t) => t.id)).toEqual(
      shown?.transactions
        .filter((t) => ['static', 'kickoff', 'leaf'].includes(t.role))
        .map((t) => t.id)
        .filter((id) => !id.endsWith(':0') || id.startsWith('static')),
    )
    const [gone] = [...net.host(net.client(4)).mine.values()]
    const [kept] = [...net.host(net.client(0)).mine.values()]
    expect(gone && net.world.chain.coin(gone.funding)).toBeUndefined()
    expect(net.node(net.lsp).gated(gone?.channelId ?? '')?.gate).toBe('shut')
    expect(net.node(net.lsp).gated(kept?.channelId ?? '')?.gate).toBe('open')
  })
})

describe('a close that all have signed, and an exit', () => {
  const closing = async (): Promise<{ net: Net; instance: InstanceId }> => {
    const net = await Net.of(21, 5)
    const instance = await net.active(net.request({ ...short, lifetime: blocks(400) }))
    // Nobody's node has room for the close.
    for (const id of net.all) {
      const host = net.host(id)
      const broadcast = host.broadcast.bind(host)
      host.broadcast = (tx) =>
        net.world.chain.height < 205 ? Promise.resolve({ accepted: false, error: 'fee too low' }) : broadcast(tx)
    }
    void net
      .node(net.lsp)
      .close(instance, 1000)
      .catch(() => undefined)
    await net.world.run()
    expect((await net.show(net.lsp, instance))?.phase).toBe('closing')
    return { net, instance }
  }

  it('the close wins: everyone ends closed', async () => {
    const { net, instance } = await closing()
    const exiting = net.node(net.lsp).exit(instance)
    await net.world.run()
    await exiting
    expect((await net.show(net.lsp, instance))?.phase).toBe('exiting')
    net.host(net.lsp).broadcast = () => Promise.resolve({ accepted: false, error: 'fee too low' })
    await net.world.mine(6)
    expect(new Set(await net.phases(instance))).toEqual(new Set(['closed']))
  })

  it('a client’s path wins: the LSP still leaves before the expiry', async () => {
    const { net, instance } = await closing()
    const leaver = net.client(0)
    await net.node(leaver).exit(instance)
    for (const id of net.all)
      if (id !== leaver) net.host(id).broadcast = () => Promise.resolve({ accepted: false, error: '' })
    await net.world.mine(6)
    const shown = await net.show(net.lsp, instance)
    if (shown === undefined) throw new Error('no factory')
    expect(shown.transactions.some((t) => t.confirmed !== undefined)).toBe(true)
    const deadline = shown.expiry - shown.earlyWarning - shown.params.confirmationMargin
    await net.world.mine(deadline - net.world.chain.height)
    expect((await net.show(net.lsp, instance))?.phase).toBe('exiting')
  })

  it('a host that can not close a channel at first is asked again', async () => {
    const net = await Net.of(22, 2)
    const instance = await net.active(net.request(short))
    const host = net.host(net.lsp)
    const forceClose = host.forceClose.bind(host)
    let asked = 0
    host.forceClose = (...args) => (++asked > 3 ? forceClose(...args) : Promise.reject(new Error('busy')))
    const exiting = net.node(net.lsp).exit(instance)
    await net.world.run()
    await exiting
    await net.world.mine(90)
    expect((await net.show(net.lsp, instance))?.phase).toBe('exited')
  })
})
