/** Jobs of each table that one request looks at, when no index helps. */
export const looks = 10_000
