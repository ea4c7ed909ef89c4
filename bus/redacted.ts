/** A value that may be used and never shown: whatever prints, serialises or inspects it gets `<redacted>`. */
const SHOWN = "<redacted>"

export class Redacted<T> {
  readonly #value: T

  constructor(value: T) {
    this.#value = value
  }

  /** The only way to the value; look for uses of this to see where secrets go. */
  reveal(): T {
    return this.#value
  }

  toString(): string {
    return SHOWN
  }

  toJSON(): string {
    return SHOWN
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return SHOWN
  }
}
