/**
 * Lightning's bytes over TCP, and nothing else: LDK encrypts and frames. LDK asks for back-pressure in both directions, and
 * stalls for ever when one of them is forgotten.
 */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { once } from 'node:events'
import * as ldk from 'lightningdevkit'

/** Bytes in a socket's own queue above which LDK must wait. */
const HIGH_WATER = 1 << 20

export interface TcpOwner {
  readonly peers: ldk.PeerManager
  /** Something arrived or left: let the node handle it. */
  wake(): void
}

let next = 1n

/** One connection: the socket and what LDK knows it by. */
class Connection {
  readonly descriptor: ldk.SocketDescriptor
  private readonly id = next++
  private over = false

  constructor(
    private readonly socket: Socket,
    private readonly owner: TcpOwner,
  ) {
    this.descriptor = ldk.SocketDescriptor.new_impl({
      send_data: (data, resume) => this.send(data, resume),
      disconnect_socket: () => {
        // LDK has forgotten it already and must not hear of it again.
        this.over = true
        socket.destroy()
      },
      eq: (other) => other.hash() === this.id,
      hash: () => this.id,
    })
    socket.setNoDelay(true)
    socket.on('data', (data) => {
      this.receive(data)
    })
    socket.on('drain', () => {
      if (this.over) return
      if (!owner.peers.write_buffer_space_avail(this.descriptor).is_ok()) socket.destroy()
      owner.wake()
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      if (this.over) return
      this.over = true
      owner.peers.socket_disconnected(this.descriptor)
      owner.wake()
    })
  }

  write(data: Uint8Array): void {
    this.socket.write(data)
  }

  private send(data: Uint8Array, resume: boolean): number {
    if (resume) this.socket.resume()
    if (this.socket.destroyed || this.socket.writableLength > HIGH_WATER) return 0
    if (data.length > 0) this.socket.write(Uint8Array.from(data))
    return data.length
  }

  private receive(data: Buffer): void {
    if (this.over) return
    const result = this.owner.peers.read_event(this.descriptor, Uint8Array.from(data))
    if (result instanceof ldk.Result_boolPeerHandleErrorZ_OK) {
      if (result.res) this.socket.pause()
    } else {
      this.over = true
      this.socket.destroy()
    }
    this.owner.wake()
  }
}

export class Tcp {
  private readonly connections = new Map<Socket, Connection>()
  private server: Server | undefined

  constructor(private readonly owner: TcpOwner) {}

  /** @param port 0: any. @returns the port */
  async listen(host: string, port: number): Promise<number> {
    const server = createServer((socket) => {
      const connection = this.add(socket)
      if (
        !this.owner.peers
          .new_inbound_connection(connection.descriptor, ldk.Option_SocketAddressZ.constructor_none())
          .is_ok()
      )
        socket.destroy()
    })
    this.server = server
    server.listen(port, host)
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }

  /** Resolves when the TCP connection stands; LDK's handshake comes after. */
  async connect(node: Uint8Array, host: string, port: number): Promise<void> {
    const socket = connect(port, host)
    await once(socket, 'connect')
    const connection = this.add(socket)
    const first = this.owner.peers.new_outbound_connection(
      node,
      connection.descriptor,
      ldk.Option_SocketAddressZ.constructor_none(),
    )
    if (first instanceof ldk.Result_CVec_u8ZPeerHandleErrorZ_OK) connection.write(first.res)
    else socket.destroy()
  }

  async close(): Promise<void> {
    for (const socket of this.connections.keys()) socket.destroy()
    const { server } = this
    this.server = undefined
    if (server === undefined) return
    server.close()
    await once(server, 'close')
  }

  private add(socket: Socket): Connection {
    const connection = new Connection(socket, this.owner)
    this.connections.set(socket, connection)
    socket.once('close', () => this.connections.delete(socket))
    return connection
  }
}
