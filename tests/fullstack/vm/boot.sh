#!/bin/bash
# Boots an image once, runs one command inside, powers off; exits with its status.
#
#   IMG=$(image.sh bookworm amd64) boot.sh COMMAND...
#
# IMG     directory that image.sh printed
# WORK    directory that the guest sees, read-only, as /work (default: this checkout)
# OUT     directory that the guest sees, writable, as /out: test.log, rc, journal.log, dmesg.log,
#         and whatever the command leaves there (default: a new one, removed when all went well)
# MODE    systemd (default) or fast, where a shell script is PID 1
# STATE   file that the guest has as a second disk on /var/lib/ttlock-agent; it is made if missing
# LIMIT   seconds for the whole run;  ACCEL auto|kvm|tcg;  MEM in MiB;  SMP
# SLOW    how much slower than hardware the guest shall think it is: stretches its time limits
# FOLLOW  show what the command says as it says it
#
# The image is never changed, so runs are independent and may go side by side. QEMU ends with this
# script, whatever ends it.
set -u
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ttlock-agent/vm
img=${IMG:?directory of an image}
work=${WORK:-$(cd "$here/../../.." && pwd)}
mode=${MODE:-systemd} mem=${MEM:-512} smp=${SMP:-2} accel=${ACCEL:-auto} boot_limit=240
out=${OUT:-} is_own_out=
[ -n "$out" ] || { out=$(mktemp -d) && is_own_out=yes; }
arch=$(sed -n 's/.*arch=\([a-z0-9]*\).*/\1/p' "$img/versions.txt") || exit 2
kvm_cpu=host,arch-capabilities=off

# That /dev/kvm can be opened, and makes a machine, proves nothing: on some hosts it is an emulator
# that no stock kernel boots in. So a kernel is booted, once for each boot of the host.
kvm_works() {
    local log answer
    answer=$cache/kvm-$(cat /proc/sys/kernel/random/boot_id)
    if [ ! -e "$answer" ]; then
        log=$(mktemp)
        timeout -k 2 15 qemu-system-x86_64 -accel kvm -cpu $kvm_cpu -M q35 -m 256 -nodefaults \
            -no-user-config -display none -no-reboot -serial "file:$log" -kernel "$img/vmlinuz" \
            -initrd "$img/initrd.gz" -append "console=ttyS0 quiet panic=-1 guestinit=probe" \
            </dev/null >/dev/null 2>&1
        if grep -q 'GUEST probe ok' "$log"; then echo yes; else echo no; fi >"$answer"
        rm -f "$log"
    fi
    grep -q yes "$answer"
}
if [ "$accel" = auto ]; then
    if [ "$arch" = amd64 ] && [ "$(uname -m)" = x86_64 ] && [ -w /dev/kvm ] && kvm_works
    then accel=kvm; else accel=tcg; fi
fi
kernel=$img/vmlinuz
case $arch in
amd64) qemu=qemu-system-x86_64 machine=q35 console=ttyS0 cpu=max
       [ ! -s "$img/vmlinux" ] || kernel=$img/vmlinux ;;
arm64) qemu=qemu-system-aarch64 machine=virt console=ttyAMA0 cpu=cortex-a72 ;;
esac
case $accel in
kvm) acceleration=(-accel kvm -cpu "$kvm_cpu") slow=1 limit=${LIMIT:-120} ;;
tcg) acceleration=(-accel "tcg,thread=multi,tb-size=256" -cpu "$cpu") slow=6 limit=${LIMIT:-300} ;;
esac
case $mode in fast) init=/sbin/init-fast ;; systemd) init=/sbin/init ;; *) echo "no mode $mode" >&2; exit 2 ;; esac
disks=(-drive "file=$img/root.img,format=raw,if=none,id=root,snapshot=on" -device "virtio-blk-pci,drive=root")
if [ -n "${STATE:-}" ]; then
    [ -e "$STATE" ] || { truncate -s 64M "$STATE" && mkfs.ext4 -q -F -m 0 "$STATE"; }
    disks+=(-drive "file=$STATE,format=raw,if=none,id=state,cache=writeback" -device "virtio-blk-pci,drive=state")
fi
mkdir -p "$out"
printf '%s\n' "$*" >"$out/command"

boot() {
    rm -f "$out"/{rc,marks,console.log,qemu.log}
    : >"$out/test.log"
    timeout -k 5 "$limit" "$qemu" "${acceleration[@]}" -M "$machine" -m "$mem" -smp "$smp" \
        -nodefaults -no-user-config -display none -no-reboot \
        -serial "file:$out/console.log" -kernel "$kernel" -initrd "$img/initrd.gz" \
        -append "console=$console quiet loglevel=4 panic=-1 mitigations=off nokaslr no_timer_check cryptomgr.notests audit=0 guestinit=$init guestmode=$mode guestlimit=$((limit > 40 ? limit - 20 : limit)) guestslow=${SLOW:-$slow}" \
        "${disks[@]}" \
        -fsdev "local,id=work,path=$work,security_model=none,readonly=on" -device "virtio-9p-pci,fsdev=work,mount_tag=work" \
        -fsdev "local,id=out,path=$out,security_model=none" -device "virtio-9p-pci,fsdev=out,mount_tag=out" \
        -device virtio-rng-pci </dev/null >"$out/qemu.log" 2>&1 &
    pid=$!
    echo $pid >"$out/pid" # timeout passes on to QEMU what it gets
    trap 'kill -TERM $pid ${tail_pid:-} 2>/dev/null' EXIT
    trap 'exit 130' INT TERM
    if [ -n "${FOLLOW:-}" ]; then tail -n +1 --pid=$pid -f "$out/test.log" & tail_pid=$!; fi
    for ((waited = 0; waited < boot_limit; waited++)); do
        [ ! -e "$out/marks" ] && kill -0 $pid 2>/dev/null || break
        sleep 1
    done
    if [ ! -e "$out/marks" ] && kill -0 $pid 2>/dev/null; then
        echo "the guest has not come up in $boot_limit s" >&2
        kill -TERM $pid
    fi
    wait $pid
    status=$?
    [ -z "${tail_pid:-}" ] || { wait "$tail_pid" 2>/dev/null; tail_pid=; }
    trap - EXIT
}
boot
if [ ! -e "$out/marks" ]; then # seen once in 250 boots
    echo "ONCE MORE: the guest ended before the test began (status $status); its last words:" >&2
    tail -5 "$out/console.log" >&2
    boot
fi
rc=$(cat "$out/rc" 2>/dev/null || echo 99)
[ $status != 124 ] || echo "the machine was still running after $limit s" >&2
[ $status = 0 ] || head -5 "$out/qemu.log" >&2
if [ "$rc" != 0 ]; then
    echo "exit status $rc ($arch, $accel, $mode); logs are in $out" >&2
elif [ -n "$is_own_out" ]; then
    rm -rf "$out"
fi
exit "$rc"
