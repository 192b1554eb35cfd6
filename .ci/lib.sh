# shellcheck shell=bash
# What the scripts beside this one share. Sourced.

name=kubernetes-metrics-aggregator
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=${XDG_CACHE_HOME:-$HOME/.cache}/$name/tools
PATH=$tools/bin:$PATH
export LC_ALL=C

fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# `TARGET` names another one than the machine's own.
target() { echo "${TARGET:-$(rustc -vV | sed -n 's/^host: //p')}"; }

# The one place of the version is Cargo.toml.
version() { sed -n '/^\[package\]/,/^\[dependencies\]/s/^version = "\(.*\)"$/\1/p' "$top/Cargo.toml"; }

# The time that every file of a release carries: of the last commit, unless the caller says otherwise.
epoch() { echo "${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct)}"; }

# pack DIRECTORY NAME...: a tar of these, the same bytes whoever packs them where and when.
pack() {
  local directory=$1
  shift
  tar -C "$directory" --format=ustar --sort=name --mtime="@$(epoch)" --owner=0 --group=0 --numeric-owner \
    --mode='u=rwX,go=rX' -cf - "$@"
}

# The packages of one target, as JSON.
metadata() { (cd "$top" && cargo metadata --format-version 1 --locked --filter-platform "$(target)"); }
