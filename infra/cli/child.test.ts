import { spawn } from "node:child_process"
import { expect, test } from "vitest"
import { keepRunning } from "./child.ts"

test("a program that cannot be started is reported and tried again, like one that dies; words that cannot be read are none", async () => {
  const lines: string[] = []
  const running = Promise.withResolvers<void>()
  const programs = ["/nowhere/program", process.execPath, process.execPath]
  const child = keepRunning({
    name: "part",
    report: (line) => lines.push(line.replace(/ in \d+ ms$/, " soon")),
    lastWords: () => {
      throw new Error("the log is gone")
    },
    start: async () => {
      const program = programs.shift() ?? ""
      const started = spawn(program, programs.length === 0 ? ["-e", "console.log('up'); setInterval(() => {}, 1000)"] : ["-e", "process.exit(3)"], { stdio: ["ignore", "pipe", "ignore"] })
      if (programs.length === 0) started.stdout.once("data", () => running.resolve())
      return started
    },
  })
  await running.promise
  expect(lines).toEqual(["part ended (spawn /nowhere/program ENOENT); starting it again", "part ended (exit status 3); starting it again soon"])
  const last = child.current()
  await child.stop(5000)
  expect(last?.signalCode).toBe("SIGTERM")
  expect(lines).toHaveLength(2)
})
