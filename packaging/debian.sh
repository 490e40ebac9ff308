#!/bin/sh
# Builds the Debian package of the command: debian.sh DIRECTORY writes it there.
set -eu

out=$(realpath "${1:?name a directory for the package}")
cd "$(dirname "$0")/.."
cargo build --release --locked -p cachemaint-cli
command=$(realpath "${CARGO_TARGET_DIR:-target}/release/cachemaint")
version=$("$command" --version | cut -d' ' -f2)
architecture=$(dpkg --print-architecture)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
"$command" generate "$work/generated"
install -D -s "$command" "$root/usr/bin/cachemaint"
for page in "$work"/generated/*.1; do
    gzip -9n "$page"
    install -Dm644 "$page.gz" -t "$root/usr/share/man/man1"
done
install -Dm644 "$work/generated/cachemaint.bash" "$root/usr/share/bash-completion/completions/cachemaint"
install -Dm644 "$work/generated/cachemaint.fish" -t "$root/usr/share/fish/vendor_completions.d"
install -Dm644 "$work/generated/_cachemaint" -t "$root/usr/share/zsh/vendor-completions"
install -Dm644 "$work/generated/schema.json" -t "$root/usr/share/cachemaint"
install -Dm644 packaging/systemd/*.service -t "$root/usr/lib/systemd/system"
install -Dm644 README.md -t "$root/usr/share/doc/cachemaint"
cat LICENSE-MIT LICENSE-APACHE >"$root/usr/share/doc/cachemaint/copyright"

# dpkg-shlibdeps finds the oldest C library that will do, and wants the source's control file.
mkdir -p "$work/debian" "$root/DEBIAN"
echo 'Source: cachemaint' >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O "$root/usr/bin/cachemaint" | sed 's/^shlibs:Depends=//')
cat >"$root/DEBIAN/control" <<END
Package: cachemaint
Version: $version
Architecture: $architecture
Maintainer: The cachemaint developers <cachemaint@localhost>
Depends: $depends
Section: utils
Priority: optional
Installed-Size: $(du -sk "$root" | cut -f1)
Description: know what survives a crash, and make it survive
 Shows the promises of a machine and the guarantee of a file, keeps journals,
 flight recorders and named state in persistent memory and files, and guards
 files of programs that never flush.
END
dpkg-deb --root-owner-group --build "$root" "$out"
