#!/bin/sh
# Lays out all files of an installation but the releases themselves:
#
#   files.sh DESTDIR COMMAND      COMMAND is a ttlock-agent that works here; it knows its completions
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/..
dest=$1 command=$2

put() { # mode, source, target
    install -D -m "$1" "$2" "$dest$3"
}

put 644 "$here/ttlock-agent.service" /usr/lib/systemd/system/ttlock-agent.service
# The helper that restarts Bluetooth; the owner enables it, nobody else does.
for unit in ttlock-agent-bluetooth.path ttlock-agent-bluetooth.service; do
    put 644 "$here/$unit" "/usr/lib/systemd/system/$unit"
done
put 644 "$here/sysusers.conf" /usr/lib/sysusers.d/ttlock-agent.conf
put 644 "$here/tmpfiles.conf" /usr/lib/tmpfiles.d/ttlock-agent.conf
put 755 "$here/release.sh" /usr/lib/ttlock-agent/release.sh
put 755 "$here/bluetooth/passive-scan.sh" /usr/lib/ttlock-agent/passive-scan.sh
mkdir -p "$dest/usr/bin"
ln -sf /opt/ttlock-agent/current/bin/ttlock-agent "$dest/usr/bin/ttlock-agent"

put 644 "$root/config/agent.example.yaml" /etc/ttlock-agent/agent.example.yaml
put 644 "$root/config/agent.schema.json" /etc/ttlock-agent/agent.schema.json

doc=/usr/share/doc/ttlock-agent
put 644 "$root/README.md" $doc/README.md
put 644 "$here/README.md" $doc/first-run.md
put 644 "$root/config/README.md" $doc/interface.md
put 644 "$root/hw-tests/README.md" $doc/hardware-test.md
put 644 "$root/CHANGELOG.md" $doc/CHANGELOG.md
put 644 "$root/LICENSE" $doc/copyright
put 644 "$here/bluetooth/passive-scan.conf" $doc/examples/passive-scan.conf
put 644 "$here/mosquitto/ttlock.conf" $doc/examples/mosquitto/ttlock.conf
put 644 "$here/mosquitto/ttlock.acl" $doc/examples/mosquitto/ttlock.acl

completion() { # shell, target
    mkdir -p "$dest$(dirname "$2")"
    _TTLOCK_AGENT_COMPLETE=$1_source "$command" >"$dest$2"
    chmod 644 "$dest$2"
}
completion bash /usr/share/bash-completion/completions/ttlock-agent
completion zsh /usr/share/zsh/vendor-completions/_ttlock-agent
completion fish /usr/share/fish/vendor_completions.d/ttlock-agent.fish
