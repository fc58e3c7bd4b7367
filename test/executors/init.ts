// An init module: counts how often it was run in this thread or process.
const place = globalThis as { marks?: number }
place.marks = (place.marks ?? 0) + 1
export {}
