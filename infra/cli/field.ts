/** Looking into values that were decoded elsewhere, or not at all: what is shown to people may have any shape. */

/** A field deep in a value; undefined when it is not there. */
export const at = (value: unknown, ...path: readonly (string | number)[]): unknown =>
  path.reduce<unknown>((found, step) => (typeof found === "object" && found !== null ? Reflect.get(found, step) : undefined), value)

/** Empty for what is no list. */
export const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

/** Empty for what is no text. */
export const textIn = (value: unknown): string => (typeof value === "string" ? value : "")

/** What JSON says; undefined for what is none. */
export const jsonIn = (text: string | undefined): unknown => {
  try {
    return text === undefined ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Likewise; what is no JSON as it is. */
export const jsonOrText = (text: string | undefined): unknown => jsonIn(text) ?? (text === "null" ? null : text)

/** The field of a note to be shown beside its message; "" where the message begins with it. */
export const fieldBeside = ({ field = "", message }: { readonly field?: string | undefined; readonly message: string }): string => (message.startsWith(`${field}: `) ? "" : field)
