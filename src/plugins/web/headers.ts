/** What every answer carries. */
const headers = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "x-frame-options": "DENY",
  "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
} as const

/** Only files of ours, no inline script or style, in no frame, and forms and requests to nobody else. */
export const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "manifest-src 'self'",
  "worker-src 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'self'",
].join("; ")

export function secured(response: Response): Response {
  const own = new Headers(response.headers)
  for (const [name, value] of Object.entries(headers)) own.set(name, value)
  if (!own.has("content-security-policy")) own.set("content-security-policy", policy)
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers: own })
}
