import { memoryStore } from "../../bus/memory.ts"
import { busContract } from "./bus.contract.ts"

busContract("memory", {
  open: async () => {
    const store = memoryStore()
    return { connect: async () => store.bus(), wipe: async () => store.wipe(), close: async () => undefined }
  },
})
