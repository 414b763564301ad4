# Unpacks Debian 12's backport of QEMU into the folder $1, which it replaces. The machine's own
# packages, sources and lists stay as they are; the libraries are those of its qemu-system-arm.
set -eu
folder=$1
new=$folder.new
keys=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' |
    head -n 1)

rm -rf "$new"
mkdir -p "$new/apt/lists/partial" "$new/apt/cache/archives/partial"
cd "$new/apt"
echo "deb [signed-by=$keys] $mirror bookworm-backports main" >sources.list
apt() {
    apt-get -o Dir::State::Lists="$new/apt/lists" -o Dir::Cache="$new/apt/cache" \
        -o Dir::Etc::SourceList="$new/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o APT::Sandbox::User=root "$@"
}
apt update
apt download qemu-system-arm/bookworm-backports
dpkg-deb --extract qemu-system-arm_*.deb "$new"
"$new/usr/bin/qemu-system-arm" --version
rm -rf "$new/apt" "$folder"
mv "$new" "$folder"
