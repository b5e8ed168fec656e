#!/bin/bash
# Builds what the virtual machine boots from, and prints the directory it is in:
#
#   image.sh bookworm|trixie amd64|arm64 [PACKAGE.deb]
#
# With a package it is installed in the image, as root would on a fresh system; without one the
# image is a clean Debian. Nothing is booted, and nothing of the host is touched. Needs root;
# installs the Debian packages it lacks. The base of a suite takes about a minute (arm64: six) and is
# kept; putting a package into it takes about ten seconds.
#
# MIRROR is the Debian archive (default: the one this machine uses), LIMIT bounds each long step (s).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
suite=${1:?bookworm or trixie} arch=${2:?amd64 or arm64} package=${3:-}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ttlock-agent/vm
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | sort | uniq -c | sort -rn | awk 'NR == 1 {print $2}')}
limit=${LIMIT:-900}
bumble=0.0.236 # as in pyproject.toml

[ "$(id -u)" = 0 ] || { echo "run this as root" >&2; exit 2; }
case $suite in bookworm) python=3.11 ;; trixie) python=3.13 ;; *) echo "no suite $suite" >&2; exit 2 ;; esac
case $arch in amd64) machine=x86_64 ;; arm64) machine=aarch64 ;; *) echo "no machine $arch" >&2; exit 2 ;; esac
step() { printf '%4d s  %s\n' "$SECONDS" "$*" >&2; }
# A step in a group of its own, which ends when it lasts too long or this script is ended, by whatever.
bounded() { setpriv --pdeathsig TERM timeout "$limit" "$@"; }

# ---- tools on the host ------------------------------------------------------
need=(mmdebstrap e2fsprogs cpio kmod zstd xz-utils python3 python3-pip)
if [ "$arch" = arm64 ]; then need+=(qemu-system-arm qemu-user-static arch-test); else need+=(qemu-system-x86); fi
missing=()
for each in "${need[@]}"; do
    dpkg-query -W -f='${Status}' "$each" 2>/dev/null | grep -q 'ok installed' || missing+=("$each")
done
if [ ${#missing[@]} -gt 0 ]; then
    step "installing ${missing[*]}"
    { timeout "$limit" apt-get update -qq -o Acquire::Retries=3
      DEBIAN_FRONTEND=noninteractive timeout "$limit" apt-get install -y -qq -o Acquire::Retries=3 --no-install-recommends "${missing[@]}"; } >/dev/null
fi
if [ "$arch" = arm64 ] && [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
    # Lets the host's kernel run arm64 programs (maintainer scripts).
    [ -e /proc/sys/fs/binfmt_misc/register ] || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
    cat /usr/lib/binfmt.d/qemu-aarch64.conf >/proc/sys/fs/binfmt_misc/register
fi

# ---- the base: Debian, tools for tests, kernel -------------------------------
# Needed to reach the root file system; then Bluetooth (hci_uart: arm64 has no hci_vhci) with its
# cryptography (or hci0 says "Unable to create ECDH crypto context"), shares, second disk, systemd.
boot_modules="virtio_pci virtio_mmio virtio_blk ext4 crc32c_generic"
guest_modules="hci_vhci hci_uart bluetooth uhid cmac ecb ccm aes_generic ecdh_generic
    sha256_generic sha512_generic hmac ctr drbg jitterentropy_rng algif_hash algif_skcipher
    9p 9pnet_virtio overlay loop fuse autofs4 virtio_rng virtio_console"
debian="systemd,systemd-sysv,libnss-systemd,udev,dbus,bluez,kmod,procps,util-linux,python3,tzdata,busybox-static,mosquitto,mosquitto-clients"

key=$(cat "$here/image.sh" "$here/guest/init-ramdisk" | sha256sum | cut -c 1-10)
base=$cache/base-$suite-$arch-$key
build_base() {
    local part=$base.part
    rm -rf "$part"
    mkdir -p "$part/kdeb"
    # Older ones go, unless another checkout may still be booting from one.
    find "$cache" -maxdepth 1 -name "base-$suite-$arch-*" -mmin +720 -exec rm -rf {} +
    # The kernel is only downloaded inside, and unpacked aside: installing it would bring initramfs-tools.
    cat >"$part/fetch-kernel" <<'EOS'
#!/bin/sh
set -e
pkg=$(chroot "$1" apt-cache depends "linux-image-$2" | awk '$1 == "Depends:" {print $2; exit}')
mkdir -p "$1/var/tmp/k"
chroot "$1" sh -c "cd /var/tmp/k && apt-get -q -o APT::Sandbox::User=root download $pkg"
mv "$1"/var/tmp/k/*.deb "$3"/
rmdir "$1/var/tmp/k"
EOS
    chmod +x "$part/fetch-kernel"
    bounded mmdebstrap --quiet --architectures="$arch" --variant=minbase \
        --aptopt='Apt::Install-Recommends "false"' --aptopt='Acquire::Retries "3"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --include="$debian" \
        --customize-hook="$part/fetch-kernel \"\$1\" $arch $part/kdeb" \
        "$suite" "$part/root" "$mirror" </dev/null >&2
    step "Debian $suite $arch: $(du -sm "$part/root" | cut -f 1) MiB"

    # What the tests need beside the project, for the guest's Python.
    bounded python3 -m pip install -q --disable-pip-version-check --no-warn-conflicts \
        --no-compile --target "$part/root/opt/site" --only-binary=:all: --implementation cp \
        --python-version "$python" --abi "cp${python/./}" --abi abi3 --abi none \
        --platform "manylinux_2_17_$machine" --platform "manylinux2014_$machine" \
        --platform "manylinux_2_28_$machine" --platform "manylinux_2_34_$machine" \
        "bumble==$bumble" pytest pytest-asyncio pytest-timeout hypothesis >"$part/pip.log" 2>&1 ||
        { cat "$part/pip.log" >&2; exit 1; }
    chroot "$part/root" python3 -m compileall -q /opt/site >/dev/null 2>&1 || true
    step "Python packages for the tests"

    dpkg-deb -x "$part"/kdeb/linux-image-*.deb "$part/kernel"
    local image version modules
    image=$(echo "$part"/kernel/boot/vmlinuz-*)
    version=${image##*/vmlinuz-}
    cp "$image" "$part/vmlinuz"
    [ "$arch" != amd64 ] || python3 "$here/uncompress-kernel.py" "$part/vmlinuz" "$part/vmlinux"
    modules=$part/kernel
    [ -d "$modules/lib/modules" ] || ln -s usr/lib "$modules/lib"
    depmod -b "$modules" "$version"
    resolve() { # names -> module files with what they need, in load order
        for each in "$@"; do
            { modprobe -d "$modules" -S "$version" --show-depends "$each" 2>/dev/null || true; } |
                awk '$1 == "insmod" {print $2}'
        done | awk '!seen[$0]++'
    }
    # shellcheck disable=SC2086 # lists of words
    { resolve $boot_modules >"$part/boot-modules"; resolve $boot_modules $guest_modules >"$part/guest-modules"; }
    while read -r file; do
        rel=${file#"$modules"}; rel=${rel#/usr}
        install -D -m 644 "$file" "$part/root/usr/${rel#/}"
    done <"$part/guest-modules"
    for file in modules.builtin modules.builtin.modinfo modules.order; do
        cp "$modules/lib/modules/$version/$file" "$part/root/usr/lib/modules/$version/" 2>/dev/null || true
    done
    depmod -b "$part/root" "$version"

    local initrd=$part/initrd number=10 name
    mkdir -p "$initrd"/{bin,dev,proc,sys,mods,root}
    cp "$part/root/bin/busybox" "$initrd/bin/busybox"
    while read -r file; do
        number=$((number + 1)); name=$(basename "$file")
        case $name in
        *.xz) xz -dc "$file" >"$initrd/mods/$number-${name%.xz}" ;;
        *.zst) zstd -qdc "$file" >"$initrd/mods/$number-${name%.zst}" ;;
        *) cp "$file" "$initrd/mods/$number-$name" ;;
        esac
    done <"$part/boot-modules"
    install -m 755 "$here/guest/init-ramdisk" "$initrd/init"
    (cd "$initrd" && find . | LC_ALL=C sort | cpio --quiet -o -H newc | gzip -1) >"$part/initrd.gz"
    step "kernel $version with $(wc -l <"$part/guest-modules") modules"

    local root=$part/root unit
    echo guest >"$root/etc/hostname"
    echo '127.0.0.1 localhost guest' >"$root/etc/hosts"
    echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
    : >"$root/etc/fstab"
    mkdir -p "$root/work" "$root/out" "$root/etc/modules-load.d" "$root/etc/systemd/system/multi-user.target.wants"
    ln -sf ../vm-test.service "$root/etc/systemd/system/multi-user.target.wants/vm-test.service"
    ln -sf /lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
    printf 'hci_vhci\nbluetooth\n' >"$root/etc/modules-load.d/vm.conf"
    for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
        fstrim.timer e2scrub_reap.service getty@tty1.service serial-getty@ttyS0.service \
        serial-getty@ttyAMA0.service systemd-timesyncd.service systemd-pstore.service \
        systemd-binfmt.service proc-sys-fs-binfmt_misc.automount; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    # The tests start the broker with the configuration that the project recommends.
    rm -f "$root/etc/systemd/system/multi-user.target.wants/mosquitto.service"

    { echo "suite=$suite arch=$arch kernel=$version"
      for each in bluez dbus systemd python3 mosquitto; do
          dpkg-query --admindir="$root/var/lib/dpkg" -W -f='${Package} ${Version}\n' "$each"
      done
      echo "bumble $bumble"; } >"$part/versions.txt"
    tar -C "$root" -cf "$part/root.tar" .
    rm -rf "$part/root" "$part/kernel" "$part/kdeb" "$part/initrd"
    mv "$part" "$base"
    step "base ready"
}
[ -e "$base/root.tar" ] || build_base

# ---- the image: the base, what runs the tests, and the package ---------------
name=clean
[ -z "$package" ] || name=$(sha256sum "$package" | cut -c 1-10)
name=$name-$(cat "$here"/guest/* | sha256sum | cut -c 1-6)
image=$base/image-$name
if [ ! -e "$image/root.img" ]; then
    # Those of older packages go, unless somebody may still be booting from one.
    find "$base" -maxdepth 1 -name 'image-*' -mmin +720 -exec rm -rf {} +
    part=$image.part
    rm -rf "$part"
    mkdir -p "$part/root"
    tar -C "$part/root" -xpf "$base/root.tar"
    install -m 755 "$here/guest/init-fast" "$part/root/sbin/init-fast"
    install -D -m 755 "$here/guest/run-in-guest" "$part/root/usr/local/sbin/run-in-guest"
    install -m 644 "$here/guest/vm-test.service" "$part/root/etc/systemd/system/vm-test.service"
    if [ -n "$package" ]; then
        cp "$package" "$part/root/tmp/package.deb"
        # No network: what is missing would have to be in the package.
        bounded unshare --net --mount chroot "$part/root" sh -c 'mount -t proc proc /proc &&
            DEBIAN_FRONTEND=noninteractive dpkg -i /tmp/package.deb' >&2 </dev/null
        rm "$part/root/tmp/package.deb"
    fi
    size=$(($(du -sm "$part/root" | cut -f 1) * 13 / 10 + 300))
    truncate -s "${size}M" "$part/root.img"
    mkfs.ext4 -q -F -d "$part/root" -O ^has_journal -m 0 -L vmroot "$part/root.img"
    rm -rf "$part/root"
    for file in vmlinuz vmlinux initrd.gz versions.txt; do
        [ ! -e "$base/$file" ] || ln "$base/$file" "$part/$file"
    done
    mv "$part" "$image"
    step "image ready: $image"
fi
echo "$image"
