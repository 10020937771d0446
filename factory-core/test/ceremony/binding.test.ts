/** A channel is bound to its factory by TLV where both hosts know `channel_in_factory`, and by the ceremony everywhere. */
import { PROTOCOL_ID } from '@ln-factory/tlv'
import { describe, expect, it } from 'vitest'
import type { FactoryBinding, OpenRequest } from '../../src/host/port.js'
import { msat, sat, type InstanceId } from '../../src/units/index.js'
import { Net } from '../simulation/net.js'
import type { SimHost } from '../simulation/host.js'

const BLIP56 = { channelInFactory: true, factoryChange: false, checkUtxo: false }
const knows = (host: SimHost): void => {
  Object.assign(host, { caps: { ...host.caps, blip56: BLIP56 } })
}

describe('the LSP is asked to open with channel_in_factory', () => {
  it('to the clients whose nodes read it, and to no others', async () => {
    const net = await Net.of(3, 2)
    knows(net.host(net.client(0)))
    const opens = new Map<string, FactoryBinding | undefined>()
    const start = net.host(net.lsp).openStart.bind(net.host(net.lsp))
    net.host(net.lsp).openStart = (open) => {
      opens.set(open.peer, open.binding)
      return start(open)
    }
    const instance = await net.active()
    const { earlyWarning } = (await net.show(net.lsp, instance)) ?? expect.fail()
    expect(opens.get(net.client(0))).toEqual({ instance, earlyWarning })
    expect(opens.get(net.client(1))).toBeUndefined()
  })
})

describe('invariant 6: an open with the TLV', () => {
  async function accepted(): Promise<{ net: Net; instance: InstanceId; open: (change?: object) => OpenRequest }> {
    const net = await Net.of(4, 1)
    net.host(net.lsp).openStart = () => new Promise(() => undefined)
    const { instance } = await net.order(net.request({}, msat(5000)))
    const { earlyWarning } = (await net.show(net.client(0), instance)) ?? expect.fail()
    const open = (change: object = {}): OpenRequest => ({
      peer: net.lsp,
      capacity: sat(1_000_000),
      push: msat(5000),
      channelType: [12, 22, 46, 50],
      binding: { protocol: PROTOCOL_ID, instance, earlyWarning, ...change },
    })
    return { net, instance, open }
  }

  it('that names this factory is granted once', async () => {
    const { net, instance, open } = await accepted()
    const node = net.node(net.client(0))
    expect(node.openRequest(open())).toEqual({ kind: 'factory', instance })
    expect(node.openRequest(open())).toMatchObject({ kind: 'refuse' })
  })

  it('that names another instance or W is refused', async () => {
    const { net, open } = await accepted()
    const node = net.node(net.client(0))
    for (const change of [{ instance: '00'.repeat(32) }, { earlyWarning: 1 }])
      expect(node.openRequest(open(change))).toMatchObject({ kind: 'refuse' })
    // The announced one is still expected.
    expect(node.openRequest(open()).kind).toBe('factory')
  })

  it('of another protocol is that plugin’s to judge, and gets nothing from us', async () => {
    const { net, open } = await accepted()
    expect(net.node(net.client(0)).openRequest(open({ protocol: '00'.repeat(32) }))).toEqual({ kind: 'ordinary' })
  })
})
