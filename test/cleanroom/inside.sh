#!/usr/bin/env bash
# The part of run.sh inside the chroot: as root, to prepare and to take the network away, else as the ordinary user `person`.
set -euo pipefail
role="$1" way="$2" network="${3:-online}"
project="/home/person/my project/headgate"

as_person() {
  setpriv --reuid=person --regid=person --init-groups env -i HOME=/home/person USER=person LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin CI=true CLEANROOM_TEST="${CLEANROOM_TEST:-}" \
    bash -c 'set -a; . /etc/cleanroom-environment; set +a; exec /usr/local/bin/inside person "$@"' inside "$way" "$1"
}

if [ "$role" = root ]; then
  export PATH="$PATH:/usr/sbin:/sbin"
  if [ "$way" = docker ]; then
    mkdir -p /var/lib/docker
    # Only the tests start a container; without them the machine's network, which the room shares, stays as it is.
    engine=()
    [ "${CLEANROOM_TEST:-}" != none ] || engine=(--bridge=none --iptables=false --ip6tables=false)
    dockerd "${engine[@]}" >/var/log/dockerd.log 2>&1 &
    for _ in $(seq 200); do docker info >/dev/null 2>&1 && break; sleep 0.1; done
    docker info >/dev/null || { tail -5 /var/log/dockerd.log; exit 1; }
    version="$(sed -n 's/^const VERSION = "\(.*\)"/\1/p' "$project/bus/server/fetch.ts")"
    mkdir -p /tmp/image/usr/local/bin
    mv /usr/local/share/nats-image-binary /tmp/image/usr/local/bin/nats-server
    tar -C /tmp/image -c . | docker import --change 'ENTRYPOINT ["/usr/local/bin/nats-server"]' - "nats:${version:?bus/server names no version}-alpine"
    rm -rf /tmp/image
  fi
  if [ "$way" = none ]; then
    as_person online
    unshare --net bash -c 'ip link set lo up; exec /usr/local/bin/inside offline-root "$@"' inside "$way"
    # What the message names, as root and with a network again.
    command="$(sed -n 's/^  sudo //p' "$project/message")"
    echo "none: running as root: ${command:?the message names no command}"
    bash -c "$command" >/dev/null 2>&1
    as_person mended
    exit 0
  fi
  as_person online
  # No network but the loopback: what was fetched once must do.
  exec unshare --net bash -c 'ip link set lo up; exec /usr/local/bin/inside offline-root "$@"' inside "$way"
fi
if [ "$role" = offline-root ]; then
  as_person offline
  exit 0
fi

say() { printf '%s %s: %s\n' "$way" "$network" "$*"; }
now() { date +%s%3N; }

# Starts a command in the background, waits for its ready line, asks the first listener and `headgate get`, ends it as
# Ctrl-C in a terminal does: by a signal to every process of the group.
start_and_stop() {
  local what="$1" log started pid url
  shift
  log="$(mktemp)"
  started="$(now)"
  setsid "$@" >"$log" 2>&1 &
  pid=$!
  until grep -q '"ready":true' "$log"; do
    kill -0 "$pid" 2>/dev/null || { cat "$log"; say "$what ended before it was ready"; exit 1; }
    [ $(($(now) - started)) -lt 300000 ] || { cat "$log"; say "$what: not ready in 300 s"; exit 1; }
    sleep 0.05
  done
  say "$what: Ready after $(($(now) - started)) ms"
  url="$(sed -n '/"ready":true/{s/.*"listeners":\[{[^]]*"port":\([1-9][0-9]*\).*/http:\/\/127.0.0.1:\1\//p;q}' "$log")"
  [ -n "$url" ] || { cat "$log"; say "$what: ready, and no listener bound"; exit 1; }
  npx headgate get gateways >/dev/null || { say "$what: headgate get failed"; exit 1; }
  node -e 'fetch(process.argv[1]).then((answer) => { console.log(`  ${process.argv[1]} answers ${answer.status}`); process.exit(answer.status < 500 ? 0 : 1) })' "$url"
  kill -INT -- "-$pid"
  wait "$pid" || true
  if grep -E 'starting it again' "$log"; then say "$what: a part ended before its time"; exit 1; fi
  [ -z "$(parts)" ] || { say "$what left behind: $(parts)"; exit 1; }
}

# Programs of Headgate that run in this room, by /proc: the room has no ps.
parts() {
  for process in /proc/[0-9]*; do
    tr '\0' ' ' 2>/dev/null <"$process/cmdline" | grep -E '^[^ ]*nats-server |infra/cli/main|headgate' || true
  done
}

# Two data folders, nothing in the cache: both fetch, both run, neither takes the other's ports.
two_at_once() {
  local logs=() pids=() i
  rm -rf ~/.cache/headgate
  for i in 0 1; do
    logs+=("$(mktemp)")
    HEADGATE_DATA="$HOME/two $i" setsid npm start --silent -- --json >"${logs[i]}" 2>&1 &
    pids+=($!)
  done
  for i in 0 1; do
    until grep -q '"ready":true' "${logs[i]}"; do
      kill -0 "${pids[i]}" 2>/dev/null || { cat "${logs[@]}"; say "two at once: one ended before it was ready"; exit 1; }
      sleep 0.1
    done
    grep -q '"port":0' "${logs[i]}" && { cat "${logs[@]}"; say "two at once: one without its listener"; exit 1; }
  done
  kill -INT -- "-${pids[0]}" "-${pids[1]}"
  wait "${pids[@]}" || true
  [ -z "$(parts)" ] || { say "two at once left behind: $(parts)"; exit 1; }
  [ "$(ls -A ~/.cache/headgate | grep -vx compiled)" = nats-server ] || { ls -A ~/.cache/headgate; say "two at once: the cache holds more than nats-server and compiled modules"; exit 1; }
  say "two starts at once with an empty cache: both Ready"
}

# Ends npm and nothing else, as a program that started it would.
ends_with_npm() {
  local log pid
  log="$(mktemp)"
  npm start --silent -- --json >"$log" 2>&1 &
  pid=$!
  until grep -q '"ready":true' "$log"; do
    kill -0 "$pid" 2>/dev/null || { cat "$log"; say "npm start ended before it was ready"; exit 1; }
    sleep 0.1
  done
  kill -TERM "$pid"
  wait "$pid" || { say "npm start ended by SIGTERM: status $?"; exit 1; }
  [ -z "$(parts)" ] || { say "npm start ended by SIGTERM left behind: $(parts)"; exit 1; }
  say "SIGTERM to npm alone: drained, status 0"
}

cd "$project"
say "$(node -v), npm $(npm -v), $(id -un) in $(pwd)"
if [ "$way/$network" = none/online ]; then
  npm ci
  exit 0
fi
if [ "$way/$network" = none/offline ]; then
  npm start --silent -- --json >message 2>&1 && { cat message; say "started without a nats-server"; exit 1; }
  cat message
  [ "$(grep -c '^Run this' message)" = 1 ] || { say "the message names not exactly one thing to do"; exit 1; }
  exit 0
fi
if [ "$network" = mended ]; then
  rm -rf .headgate
  start_and_stop "npm start after the command of the message" npm start --silent -- --json
  exit 0
fi
started="$(now)"
npm ci
say "npm ci: $(($(now) - started)) ms"
rm -rf .headgate
start_and_stop "npm start, $([ "$network" = online ] && echo cold || echo warm), empty store" npm start --silent -- --json
start_and_stop "npm start, warm, from its store" npm start --silent -- --json
[ "$network" = offline ] || two_at_once
ends_with_npm

# Without a network: what passes so passes with one. Where Docker answers they start a container, and its ports are in
# the network namespace of the engine.
tests_in=offline
[ "$way" != docker ] || tests_in=online
if [ "${CLEANROOM_TEST:-}" != none ] && [ "$network" = "$tests_in" ]; then
  # There is no registry: the image is the one imported above, and nothing watches over containers but the tests.
  [ "$way" != docker ] || export HEADGATE_NATS_IMAGE="$(docker images --format '{{.Repository}}:{{.Tag}}' nats | head -1)" TESTCONTAINERS_RYUK_DISABLED=true REQUIRE_DOCKER=1
  started="$(now)"
  # shellcheck disable=SC2086
  npm test --silent ${CLEANROOM_TEST:+-- $CLEANROOM_TEST} >test.log 2>&1 || { tail -60 test.log; say "npm test failed"; exit 1; }
  say "npm test: $(tail -1 test.log), $(($(now) - started)) ms"
fi

elsewhere="/home/person/else where/app"
if [ "$network" = online ]; then
  npm pack --silent --pack-destination /home/person >/dev/null
  mkdir -p "$elsewhere"
  cd "$elsewhere"
  printf '{ "private": true, "type": "module" }\n' >package.json
  npm install --silent --save /home/person/headgate-*.tgz
  cat >mine.ts <<'MINE'
import { kinds, reconcile } from "headgate"
export default reconcile({ name: "mine", version: "1", reads: [kinds.route], writes: [], derive: ({ from }) => void from(kinds.route) })
MINE
  cat >wrong.ts <<'WRONG'
import { reconcile } from "headgate"
export default reconcile({ name: 1 })
WRONG
  printf '{ "compilerOptions": { "module": "nodenext", "target": "es2024", "strict": true, "noEmit": true, "skipLibCheck": true, "types": [] }, "files": ["mine.ts"] }\n' >tsconfig.json
  "$project/node_modules/.bin/node" "$project/node_modules/typescript/bin/tsc" -p tsconfig.json
  if "$project/node_modules/.bin/node" "$project/node_modules/typescript/bin/tsc" --noEmit --strict --module nodenext --skipLibCheck --types '' --ignoreConfig wrong.ts >/dev/null; then say "the packed types accept nonsense"; exit 1; fi
  say "a function file type-checks against the packed package"
fi
cd "$elsewhere"
rm -rf .headgate
start_and_stop "npx headgate up from npm pack elsewhere" npx headgate up --json
