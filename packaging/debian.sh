#!/bin/sh
# Builds the Debian packages: debian.sh DIRECTORY writes them there. README.md lists their files.
set -eu

out=$(realpath "${1:?name a directory for the packages}")
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
architecture=$(dpkg --print-architecture)
triplet=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
# One time for all files makes the packages reproducible.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH

# setting NAME: prints a value of the root manifest.
setting() {
    sed -n "s/^$1 = \"\(.*\)\"\$/\1/p" Cargo.toml | head -n 1
}
version=$(setting version)
homepage=$(setting repository)
maintainer=$(setting maintainer)
# Before that is decided, the maintainer is the user who builds.
: "${maintainer:=$(id -un) <$(id -un)@$(uname -n)>}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Before the flags are set: they would build this program anew.
cargo build --quiet --locked -p xtask
# Panic messages name source files. For other crates these would be paths of this machine.
flags=
for sources in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    flags="$flags --remap-path-prefix=$sources=/usr/src/crates"
done
export RUSTFLAGS="${RUSTFLAGS:-} $flags"
cargo build --release --locked -p cachemaint-cli --features generate
CARGO_MANIFEST_DIR=$PWD/xtask "$target/debug/xtask" capi --prefix "$work/c" --libdir "lib/$triplet" >/dev/null
libraries=$work/c/lib/$triplet
soname=$(basename "$libraries"/libcachemaint.so.*)
library=libcachemaint${soname##*.}

# begin PACKAGE: makes `root` the root of the package's files.
begin() {
    root=$work/$1
    documents=$root/usr/share/doc/$1
    mkdir -p "$root/DEBIAN" "$documents"
}

# finish PACKAGE VERSION FIELD...: writes what every package has, and builds it. The description is standard input.
finish() {
    package=$1 number=$2
    shift 2
    {
        cat <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: cachemaint

Files: *
Copyright: $(sed -n 's/^Copyright (c) //p' LICENSE-MIT)
License: MIT or Apache-2.0

License: Apache-2.0
 See /usr/share/common-licenses/Apache-2.0.

License: MIT
END
        sed '1,/^$/d; s/^$/./; s/^/ /' LICENSE-MIT
    } >"$documents/copyright"
    gzip -9n <<END >"$documents/changelog.gz"
$package ($number) unstable; urgency=medium

  * This release. CHANGELOG.md of the source lists what it has.

 -- $maintainer  $(date -R -u -d "@$SOURCE_DATE_EPOCH")
END
    {
        printf '%s\n' "Package: $package" "Version: $number" "Architecture: $architecture" \
            "Maintainer: $maintainer" "Priority: optional" "$@"
        echo "Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)"
        [ -z "$homepage" ] || echo "Homepage: $homepage"
        cat
    } >"$root/DEBIAN/control"
    (cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
    chmod -R u+rwX,go+rX,go-w "$root"
    dpkg-deb --root-owner-group --build "$root" "$out"
}

# needs FILE...: prints the field Depends, with the packages whose libraries these files load.
needs() {
    # dpkg-shlibdeps finds the oldest C library that will do, and wants the source's control file.
    mkdir -p "$work/debian"
    echo 'Source: cachemaint' >"$work/debian/control"
    (cd "$work" && dpkg-shlibdeps -O "$@" | sed 's/^shlibs:Depends=/Depends: /')
}

begin cachemaint
"$target/release/cachemaint" generate "$work/generated"
install -D -s "$target/release/cachemaint" "$root/usr/bin/cachemaint"
for page in "$work"/generated/*.1; do
    gzip -9n "$page"
    install -Dm644 "$page.gz" -t "$root/usr/share/man/man1"
done
install -Dm644 "$work/generated/cachemaint.bash" "$root/usr/share/bash-completion/completions/cachemaint"
install -Dm644 "$work/generated/cachemaint.fish" -t "$root/usr/share/fish/vendor_completions.d"
install -Dm644 "$work/generated/_cachemaint" -t "$root/usr/share/zsh/vendor-completions"
install -Dm644 "$work/generated/schema.json" -t "$root/usr/share/cachemaint"
install -Dm644 packaging/systemd/*.service -t "$root/usr/lib/systemd/system"
install -Dm644 README.md -t "$documents"
finish cachemaint "$version" "Section: utils" "$(needs "$root/usr/bin/cachemaint")" <<'END'
Description: show what survives a crash, and keep data that does
 Reports what this machine's CPU, kernel and memory promise, and which events
 the bytes of a file survive. Keeps journals, flight recorders and named state
 in persistent memory and in files, and writes back files of programs that
 never flush.
END

begin "$library"
install -Dm644 "$libraries/$soname" -t "$root/usr/lib/$triplet"
strip --strip-unneeded "$root/usr/lib/$triplet/$soname"
echo "libcachemaint ${soname##*.} $library (>= $version)" >"$root/DEBIAN/shlibs"
echo "activate-noawait ldconfig" >"$root/DEBIAN/triggers"
finish "$library" "$version" "Section: libs" "Multi-Arch: same" \
    "$(needs "$root/usr/lib/$triplet/$soname")" <<'END'
Description: files that survive a crash, and CPU cache maintenance
 Opens files on persistent memory and on drives, persists ranges at the
 granularity of the medium, and says which events the bytes survive. Writes
 back and invalidates CPU cache lines.
END

begin libcachemaint-dev
install -Dm644 "$work/c/include/cachemaint.h" -t "$root/usr/include"
install -Dm644 "$libraries/libcachemaint.a" -t "$root/usr/lib/$triplet"
ln -s "$soname" "$root/usr/lib/$triplet/libcachemaint.so"
cp -R "$libraries/pkgconfig" "$libraries/cmake" "$root/usr/lib/$triplet"
# With this prefix pkg-config leaves out the folders that compilers search anyway.
sed -i 's|^prefix=.*|prefix=/usr|' "$root/usr/lib/$triplet/pkgconfig/cachemaint.pc"
install -Dm644 capi/examples/*.c -t "$documents/examples"
install -Dm644 docs/c.md -t "$documents"
finish libcachemaint-dev "$version" "Section: libdevel" "Multi-Arch: same" \
    "Depends: $library (= $version)" <<'END'
Description: files that survive a crash, and CPU cache maintenance (C header)
 The header cachemaint.h, the static library, and the files of pkg-config and
 CMake.
END

begin libcachemaint-pmem1
install -Dm644 "$libraries/cachemaint/libpmem.so.1" -t "$root/usr/lib/$triplet/cachemaint"
strip --strip-unneeded "$root/usr/lib/$triplet/cachemaint/libpmem.so.1"
install -Dm644 docs/libpmem.md -t "$documents"
finish libcachemaint-pmem1 "$version" "Section: libs" "Multi-Arch: same" \
    "$(needs "$root/usr/lib/$triplet/cachemaint/libpmem.so.1")" <<'END'
Description: replacement of PMDK's libpmem, in a directory of its own
 Programs that are linked to libpmem run on this library unchanged, if they are
 told its directory. Otherwise they get the libpmem1 of the distribution, which
 can be installed beside it.
END

# lose-lines runs only on this architecture.
[ "$architecture" = amd64 ] || exit 0
cargo build --release --locked -p lose-lines
begin lose-lines
install -D -s "$target/release/lose-lines" "$root/usr/bin/lose-lines"
install -Dm644 lose-lines/README.md -t "$documents"
finish lose-lines "$(sed -n 's/^version = "\(.*\)"$/\1/p' lose-lines/Cargo.toml)" "Section: devel" \
    "$(needs "$root/usr/bin/lose-lines"), apt" <<'END'
Description: cut the power of any program, and show what it loses
 Runs a program in an emulated machine, and checks every state that a power cut
 could have left: without unflushed sectors of a drive, or without unwritten
 lines of persistent memory. Needs neither root nor KVM.
END
