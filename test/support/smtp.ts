// An SMTP server on loopback that takes what it is given, or refuses the first so many mails.
import { createServer, type AddressInfo, type Socket } from "node:net"

export interface Mail {
  readonly from: string
  readonly to: readonly string[]
  /** Headers and body, as they came. */
  readonly data: string
}

export interface SmtpServer {
  readonly port: number
  readonly mails: Mail[]
  close(): void
}

export async function smtpServer({ refuse = 0 } = {}): Promise<SmtpServer> {
  const mails: Mail[] = []
  let refusals = refuse
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket)).on("error", () => {})
    converse(socket, (mail) => {
      if (refusals-- > 0) return false
      mails.push(mail)
      return true
    })
  })
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening))
  return {
    port: (server.address() as AddressInfo).port,
    mails,
    close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

/** One session: RFC 5321, as far as a client without extensions needs it. */
function converse(socket: Socket, take: (mail: Mail) => boolean): void {
  let pending = ""
  let mail = { from: "", to: [] as string[] }
  let data: string[] | undefined
  const say = (line: string) => socket.write(`${line}\r\n`)
  const heard = (line: string): void => {
    if (data) {
      if (line !== ".") return void data.push(line.replace(/^\./, ""))
      const taken = take({ ...mail, data: data.join("\n") })
      data = undefined
      mail = { from: "", to: [] }
      return void say(taken ? "250 taken" : "451 not now")
    }
    const [verb = ""] = line.toUpperCase().split(" ")
    const address = /<([^>]*)>/.exec(line)?.[1] ?? ""
    if (verb === "MAIL") mail.from = address
    else if (verb === "RCPT") mail.to.push(address)
    else if (verb === "DATA") data = []
    say(data ? "354 go on" : verb === "QUIT" ? "221 bye" : "250 fine")
    if (verb === "QUIT") socket.end()
  }
  say("220 loopback")
  socket.setEncoding("utf8").on("data", (text: string) => {
    const lines = (pending + text).split("\r\n")
    pending = lines.pop()!
    for (const line of lines) heard(line)
  })
}
