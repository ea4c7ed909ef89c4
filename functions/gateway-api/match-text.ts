import type { Match } from "../../bus/kinds/config.ts"

type Test = Match["headers"][number]

const tests = (before: string, all: readonly Test[]): readonly string[] => all.map(({ name, type, value }) => `${before}${name} ${type === "exact" ? "=" : "~"} ${value}`)

/** A match as people would say it: `prefix /cart, GET, x-version = 2, ?page ~ [0-9]+`. */
export const matchText = ({ path, method, headers, query }: Match): string =>
  [`${path.type} ${path.value}`, ...(method === undefined ? [] : [method]), ...tests("", headers), ...tests("?", query)].join(", ")
