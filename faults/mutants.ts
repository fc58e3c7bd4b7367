export async function hunt(_: object): Promise<number> {
  return 1
}
