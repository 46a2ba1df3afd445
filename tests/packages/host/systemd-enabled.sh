command -v dpkg >/dev/null || skip 'no dpkg here'
[ -x /lib/systemd/systemd ] && [ -e /lib/systemd/system/nftables.service ] || skip 'no systemd with a nftables.service here'
dpkg -i "$(deb)"
write_policy 80
systemctl enable dockfw nftables
# Stands for what sets up interfaces.
cat >/etc/systemd/system/network-begins.service <<'UNIT'
[Unit]
DefaultDependencies=no
After=network-pre.target
Before=network.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'code=0; dockfw diff || code=$?; echo $code >/run/found'
[Install]
WantedBy=sysinit.target
UNIT
systemctl enable network-begins
# Docker, which systemd starts when it is asked for.
cat >/etc/systemd/system/docker.socket <<'UNIT'
[Socket]
ListenStream=/run/docker.sock
[Install]
WantedBy=sockets.target
UNIT
cat >/etc/systemd/system/docker.service <<'UNIT'
[Service]
ExecStart=/bin/sh -c 'echo >/run/docker-was-started; exec sleep infinity'
UNIT
systemctl enable docker.socket
