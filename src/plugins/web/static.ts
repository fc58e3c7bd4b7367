import { createHash } from "node:crypto"
import { readdirSync, readFileSync, statSync } from "node:fs"
import path from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { brotliCompress, constants, gzip } from "node:zlib"
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

type Encoding = "br" | "gzip"

interface File {
  readonly body: Buffer
  readonly type: string
  readonly tag: string
  /** Packed by the build, or when first asked for. */
  readonly packed: Map<Encoding, Promise<Buffer>>
}

const built = fileURLToPath(new URL("../../dashboard/", import.meta.url))

/** Answers with files of the dashboard, and with its page for every path that is none. */
export function makePages({
  assets = built,
  basePath,
}: ParsedHandler): (request: Request, path: string) => Promise<Response> | Response {
  let files: ReadonlyMap<string, File> | undefined
  return (request, wanted) => {
    files ??= readFolder(assets)
    const file = files.get(decoded(wanted))
    if (file && wanted !== "/index.html") return send(request, file, /^\/assets\/.*[.-][\w-]{8,}\.\w+$/.test(wanted))
    const page = files.get("/index.html")
    if (!page) return missing("The dashboard is not part of this build; the API is at api/v1.")
    if (/\.(?:js|css|map|woff2|png|svg|ico)$/.test(wanted)) return missing("There is no such file.")
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
  const there = statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true
  const names = there ? readdirSync(folder, { recursive: true, encoding: "utf8" }) : []
  const contents = new Map<string, Buffer>()
  for (const name of names) {
    const full = path.join(folder, name)
    if (statSync(full).isFile()) contents.set(`/${name.split(path.sep).join("/")}`, readFileSync(full))
  }
  const files = new Map<string, File>()
  for (const [name, body] of contents) {
    if (/\.(?:br|gz)$/.test(name)) continue
    const packed = new Map<Encoding, Promise<Buffer>>()
    const [br, gz] = [contents.get(`${name}.br`), contents.get(`${name}.gz`)]
    if (br) packed.set("br", Promise.resolve(br))
    if (gz) packed.set("gzip", Promise.resolve(gz))
    files.set(name, { body, type: types[path.extname(name)] ?? "application/octet-stream", tag: tagOf(body), packed })
  }
  return files
}

const tagOf = (body: Buffer): string => `"${createHash("sha256").update(body).digest("base64url").slice(0, 20)}"`

async function send(request: Request, file: File, forEver: boolean): Promise<Response> {
  const headers = new Headers({
    "content-type": file.type,
    etag: file.tag,
    vary: "accept-encoding",
    "cache-control": forEver ? "public, max-age=31536000, immutable" : "no-cache",
  })
  if (request.headers.get("if-none-match") === file.tag) return new Response(null, { status: 304, headers })
  const encoding = packs(file) ? encodingFor(request) : undefined
  if (encoding) headers.set("content-encoding", encoding)
  return new Response(new Uint8Array(encoding ? await packed(file, encoding) : file.body), { headers })
}

/** Fonts and pictures are packed by themselves. */
const packs = ({ type, body }: File): boolean => /^text\/|json|svg/.test(type) && body.length > 1_000

function encodingFor(request: Request): Encoding | undefined {
  const accepted = (request.headers.get("accept-encoding") ?? "").split(",").map((one) => one.split(";")[0]!.trim())
  return (["br", "gzip"] as const).find((one) => accepted.includes(one))
}

function packed(file: File, encoding: Encoding): Promise<Buffer> {
  const known = file.packed.get(encoding) ?? pack(file.body, encoding)
  file.packed.set(encoding, known)
  return known
}

const pack = (body: Buffer, encoding: Encoding): Promise<Buffer> =>
  encoding === "br"
    ? promisify(brotliCompress)(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } })
    : promisify(gzip)(body)

/**
 * The page, told where it is mounted: in `<base href="…">`, in `<meta name="millrace-base" content="…">`, and in the
 * addresses of files that the build wrote relative to the page.
 */
function sendPage(page: File, basePath: string, files: ReadonlyMap<string, File>): Response {
  const base = basePath === "/" ? "/" : `${basePath}/`
  const text = page.body.toString("utf8")
  const html = text
    .replace(/<base\s+href="[^"]*"\s*\/?>/i, `<base href="${base}">`)
    .replace(/<meta\s+name="millrace-base"[^>]*>/i, `<meta name="millrace-base" content="${base}">`)
    .replaceAll(/((?:src|href)=")\.?\/([^"/][^"]*)"/g, (whole, start: string, name: string) =>
      files.has(`/${name}`) ? `${start}${base}${name}"` : whole,
    )
  return new Response(html, {
    headers: {
      "content-type": page.type,
      "cache-control": "no-cache",
      // A page without a base element needs no right to set one.
      "content-security-policy": /<base\s/i.test(text) ? policy.replace("base-uri 'none'", "base-uri 'self'") : policy,
    },
  })
}

const missing = (text: string): Response =>
  new Response(text, { status: 404, headers: { "content-type": "text/plain; charset=utf-8" } })
