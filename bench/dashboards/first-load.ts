// What the first visit to a dashboard costs: bytes of script, as they come over the wire and as they are run.
import type { Response } from "playwright-core"
import type { Board } from "./board.ts"
import { settle, type Visitor } from "./browser.ts"
import { untilShown } from "./page-times.ts"

export interface Scripts {
  wire: number
  decoded: number
}

export async function firstLoad(board: Board, visitor: Visitor): Promise<Scripts> {
  const page = await visitor.fresh()
  const responses: Response[] = []
  page.on("response", (response) => void responses.push(response))
  await untilShown(page, board, board.views.overview!)
  await settle(page)
  const sizes = await Promise.all(responses.filter(isScript).map(sizeOf))
  await page.context().close()
  return {
    wire: sizes.reduce((sum, { wire }) => sum + wire, 0),
    decoded: sizes.reduce((sum, { decoded }) => sum + decoded, 0),
  }
}

// By what they are, since preloaded modules are not asked for as scripts.
const isScript = (response: Response) => /javascript/.test(response.headers()["content-type"] ?? "")

async function sizeOf(response: Response): Promise<Scripts> {
  const [body, { responseBodySize }] = await Promise.all([response.body(), response.request().sizes()])
  return { wire: responseBodySize, decoded: body.length }
}
