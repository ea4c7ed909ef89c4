/** `headgate adapter <which>`: what publishes the outside world. */
export const main = async (argv: string[]): Promise<void> => {
  const [which, ...rest] = argv
  if (which !== "files") throw new Error(`there is no adapter "${which ?? ""}"; there is: files`)
  await (await import("./files/main.ts")).main(rest)
}
