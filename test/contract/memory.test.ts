import { memoryStore } from "../../bus/memory.ts"
import { busContract } from "./bus.contract.ts"

busContract("memory", {
  open: async (history = true) => {
    const store = memoryStore({ history })
    return { connect: async () => store.bus(), wipe: async () => store.wipe(), close: async () => undefined }
  },
})
