# shellcheck shell=bash
# Shared by the scripts in this directory. Sourced.

name=kubernetes-metrics-aggregator
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=${XDG_CACHE_HOME:-$HOME/.cache}/$name/tools
PATH=$tools/bin:$PATH
# Where identifiers of this project's documents begin (RFC 4151: a unique name, not an address).
# shellcheck disable=SC2034 # for the scripts that source this
tag=tag:metrics-aggregator.apawel.me,2026:
export LC_ALL=C

fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# The target to build for: `TARGET`, or the machine's own.
target() { echo "${TARGET:-$(rustc -vV | sed -n 's/^host: //p')}"; }

# Cargo.toml is the only place of the version.
version() { sed -n '/^\[package\]/,/^\[dependencies\]/s/^version = "\(.*\)"$/\1/p' "$top/Cargo.toml"; }

# The time of every file of a release: that of the last commit, unless the caller sets it.
epoch() { echo "${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct)}"; }

# pack DIRECTORY NAME...: a tar of these names, with the same bytes on every machine and at any time.
pack() {
  local directory=$1
  shift
  tar -C "$directory" --format=ustar --sort=name --mtime="@$(epoch)" --owner=0 --group=0 --numeric-owner \
    --mode='u=rwX,go=rX' -cf - "$@"
}

# The packages of one target, as JSON.
metadata() { (cd "$top" && cargo metadata --format-version 1 --locked --filter-platform "$(target)"); }
