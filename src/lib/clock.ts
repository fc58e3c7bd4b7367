/** Milliseconds since an arbitrary start, never going backwards when the system clock is set. */
export function monotonic(): number {
  return performance.now()
}
