#!/bin/bash
# usage: bitcoind-from-debian.sh TARGET_DIR
# Leaves TARGET_DIR/bin/bitcoind and TARGET_DIR/bin/bitcoin-cli, made of Debian
# packages only (bitcoin-knots and the libraries it needs, from a newer suite
# than this machine's), unpacked under TARGET_DIR and run with their own loader.
# The mirror is the one this machine's apt is configured with; apt checks the
# archive's signature. The system's apt state and packages are left untouched,
# and root is not needed. Running it again does nothing when the result works.
set -euo pipefail
export LC_ALL=C

[ $# = 1 ] || { echo "usage: $0 TARGET_DIR" >&2; exit 2; }
mkdir -p "$1"; T=$(cd "$1" && pwd -P)
die() { echo "$0: $*" >&2; exit 1; }
works() { "$T/bin/bitcoind" -version >/dev/null 2>&1 && "$T/bin/bitcoin-cli" -version >/dev/null 2>&1; }

exec 9>"$T/.lock"; flock 9 2>/dev/null || true
works && exit 0
for c in apt-get apt-cache dpkg; do command -v $c >/dev/null || die "$c is needed (a Debian machine)"; done

W=$(mktemp -d "$T/.work.XXXXXX"); trap 'rm -rf "$W"' EXIT
mkdir -p "$W"/{state/lists/partial,cache/archives/partial,sources,debs,root}
: >"$W/status"
arch=$(dpkg --print-architecture)
keyring=
for k in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do [ -r $k ] && keyring=$k && break; done
[ -n "$keyring" ] || die "package debian-archive-keyring is needed"

# Read after apt's own configuration (so a proxy or login set there still counts).
cat >"$W/apt.conf" <<EOF
#clear APT::Update;
#clear APT::Default-Release;
Dir::State "$W/state"; Dir::State::lists "$W/state/lists"; Dir::State::status "$W/status";
Dir::Cache "$W/cache"; Dir::Cache::archives "$W/cache/archives";
Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "$W/sources";
Dir::Etc::preferences "/dev/null"; Dir::Etc::preferencesparts "/dev/null";
APT::Sandbox::User "$(id -un)"; APT::Update::Error-Mode "any";
Acquire::Languages "none"; Acquire::Retries "3";
EOF
aptg() { apt-get -c "$W/apt.conf" -qq "$@"; }
aptc() { apt-cache -c "$W/apt.conf" "$@"; }

# The Debian mirrors apt knows: let apt parse its own sources (.list and .sources).
codename=$(. /etc/os-release; echo "${VERSION_CODENAME:-stable}")
mirrors=$(apt-get update --print-uris 2>/dev/null | sed -n "s|^'\(.*/\)dists/\([^/]*\)/InRelease' .*|\1 \2|p" |
  awk -v c="$codename" '($2==c || $2 ~ /^(oldstable|stable|testing|unstable|sid|bookworm|trixie|forky)$/) && !seen[$1]++ {print $1}')
[ -n "$mirrors" ] || die "no Debian mirror in this machine's apt sources"

found=
for m in $mirrors; do
  for suites in "trixie trixie-backports" forky sid; do
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nArchitectures: %s\nTargets: Packages\nSigned-By: %s\n' \
      "$m" "$suites" "$arch" "$keyring" >"$W/sources/d.sources"
    aptg update >"$W/log" 2>&1 || { cat "$W/log" >&2; continue; }
    if aptc policy bitcoin-knots | grep 'Candidate: [0-9]' >/dev/null; then found=$suites; break 2; fi
  done
done
[ -n "$found" ] || die "no bitcoin-knots in any suite of the Debian mirror"

# Libraries only, followed to the end (systemd, debconf, … are not needed to run it).
declare -A seen=([bitcoin-knots]=1)
queue=(bitcoin-knots)
while [ ${#queue[@]} -gt 0 ]; do
  next=$(aptc depends --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "${queue[@]}" |
    awk '$1 ~ /^\|?(Pre)?Depends:$/ && $2 ~ /^lib/ {print $2}' | sort -u)
  queue=()
  for p in $next; do [ -n "${seen[$p]:-}" ] || { seen[$p]=1; queue+=("$p"); }; done
done
(cd "$W/debs" && aptg download "${!seen[@]}")
for d in "$W"/debs/*.deb; do dpkg -x "$d" "$W/root"; done
rm -rf "$W"/root/usr/share

rm -rf "$T/root"; mv "$W/root" "$T/root"; mkdir -p "$T/bin"
libdir=$(dirname "$(find "$T/root" -name libc.so.6 -print -quit)")
ld=$(find "$libdir" -name 'ld-linux*.so.*' -print -quit)
[ -x "$ld" ] || die "no loader in libc6"
for b in bitcoind bitcoin-cli; do
  printf '#!/bin/sh\nexec "%s" --inhibit-cache --library-path "%s" --argv0 %s "%s" "$@"\n' \
    "$ld" "$libdir" "$b" "$T/root/usr/bin/$b" >"$W/$b"
  chmod 755 "$W/$b"; mv "$W/$b" "$T/bin/$b"
done
works || { "$T/bin/bitcoind" -version >&2; die "the unpacked bitcoind does not run"; }
"$T/bin/bitcoind" -version | sed -n 1p
