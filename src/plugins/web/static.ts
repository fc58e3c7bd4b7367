import { createHash } from "node:crypto"
import { readdirSync, readFileSync, statSync } from "node:fs"
import path from "node:path"
import { fileURLToPath } from "node:url"
import { policy } from "./headers.ts"
import type { ParsedHandler } from "./options.ts"

/*
 * The built dashboard. Files whose names carry a hash never change, so they are kept for ever; the page that names them is
 * asked for anew each time. Where it is mounted is written into the page when it is sent: one build serves every base path.
 */

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json; charset=utf-8",
  ".webmanifest": "application/manifest+json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
  ".txt": "text/plain; charset=utf-8",
}

interface File {
  readonly body: Buffer
  readonly type: string
  readonly tag: string
  readonly encodings: ReadonlyMap<string, Buffer>
}

const built = fileURLToPath(new URL("../../dashboard/", import.meta.url))

/** Answers with files of the dashboard, and with its page for every path that is none. */
export function makePages({ assets = built, basePath }: ParsedHandler): (request: Request, path: string) => Response {
  let files: ReadonlyMap<string, File> | undefined
  return (request, wanted) => {
    files ??= readFolder(assets)
    const file = files.get(decoded(wanted))
    if (file && wanted !== "/index.html") return send(request, file, /[.-][\w-]{8,}\.\w+$/.test(wanted))
    const page = files.get("/index.html")
    if (!page) return notBuilt()
    if (/\.(?:js|css|map|woff2|png|svg|ico)$/.test(wanted)) return new Response("not found", { status: 404 })
    return sendPage(page, basePath, files)
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** All files are read once: what is asked for is looked up in a map, so no path leads out of the folder. */
function readFolder(folder: string): ReadonlyMap<string, File> {
  const names = statSync(folder, { throwIfNoEntry: false })?.isDirectory()
    ? readdirSync(folder, { recursive: true, encoding: "utf8" })
    : []
  const contents = new Map<string, Buffer>()
  for (const name of names) {
    const full = path.join(folder, name)
    if (statSync(full).isFile()) contents.set(`/${name.split(path.sep).join("/")}`, readFileSync(full))
  }
  const files = new Map<string, File>()
  for (const [name, body] of contents) {
    if (/\.(?:br|gz)$/.test(name)) continue
    const encodings = new Map<string, Buffer>()
    for (const [encoding, ending] of [
      ["br", ".br"],
      ["gzip", ".gz"],
    ] as const) {
      const packed = contents.get(name + ending)
      if (packed) encodings.set(encoding, packed)
    }
    files.set(name, {
      body,
      type: types[path.extname(name)] ?? "application/octet-stream",
      tag: tagOf(body),
      encodings,
    })
  }
  return files
}

const tagOf = (body: Buffer): string => `"${createHash("sha256").update(body).digest("base64url").slice(0, 20)}"`

function send(request: Request, { body, type, tag, encodings }: File, forEver: boolean): Response {
  const headers = new Headers({
    "content-type": type,
    etag: tag,
    "cache-control": forEver ? "public, max-age=31536000, immutable" : "no-cache",
  })
  if (request.headers.get("if-none-match") === tag) return new Response(null, { status: 304, headers })
  const accepted = (request.headers.get("accept-encoding") ?? "").split(",").map((one) => one.split(";")[0]!.trim())
  const encoding = ["br", "gzip"].find((one) => accepted.includes(one) && encodings.has(one))
  if (encodings.size > 0) headers.set("vary", "accept-encoding")
  if (encoding) headers.set("content-encoding", encoding)
  return new Response(new Uint8Array(encoding ? encodings.get(encoding)! : body), { headers })
}

/**
 * The page, told where it is mounted: in `<meta name="millrace-base" content="…">`, in `<base href="…">` if it has one, and
 * in the addresses of files that the build wrote relative to the page.
 */
function sendPage(page: File, basePath: string, files: ReadonlyMap<string, File>): Response {
  const base = basePath === "/" ? "/" : `${basePath}/`
  const hasBase = /<base\s/i.test(page.body.toString("utf8"))
  const html = page.body
    .toString("utf8")
    .replace(/<base\s+href="[^"]*"\s*\/?>/i, `<base href="${base}">`)
    .replace(/<meta\s+name="millrace-base"[^>]*>/i, `<meta name="millrace-base" content="${base}">`)
    .replaceAll(/((?:src|href)=")(?:\.?\/)([^"/][^"]*)"/g, (whole, start: string, name: string) =>
      files.has(`/${name}`) ? `${start}${base}${name}"` : whole,
    )
  return new Response(html, {
    headers: {
      "content-type": page.type,
      "cache-control": "no-cache",
      // A page without a base element needs no right to set one.
      "content-security-policy": hasBase ? policy.replace("base-uri 'none'", "base-uri 'self'") : policy,
    },
  })
}

const notBuilt = (): Response =>
  new Response("The dashboard is not part of this build; the API is at api/v1.", {
    status: 404,
    headers: { "content-type": "text/plain; charset=utf-8" },
  })
