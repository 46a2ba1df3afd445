# What the unit runs, with the unit's capabilities and with its view of the file system.
dpkg -i "$(deb)"
unit=/usr/lib/systemd/system/dockfw.service
command=$(sed -n 's/^ExecStart=//p' "$unit")
capabilities=$(sed -n 's/^CapabilityBoundingSet=//p' "$unit" | tr 'A-Z ' 'a-z,' | sed 's/cap_/+/g')
mkdir -p /var/lib/dockfw
confined() {
	unshare --mount sh -euc 'mount --bind /var/lib/dockfw /var/lib/dockfw
		mount -o remount,bind,ro /
		if touch /etc/dockfw/x 2>/dev/null; then exit 1; fi
		exec setpriv --no-new-privs --bounding-set="-all,$0" "$@"' "$capabilities" "$@"
}

# As it is installed: the fail-safe is in force, and it fails loudly.
exits 6 confined $command
nft list table inet dockfw | grep -q 'dport 22 '

for backend in nftables iptables; do
	write_policy 80
	printf '[engine]\nbackend = "%s"\n' "$backend" >>/etc/dockfw/dockfw.toml
	# Policy files may be those of an operator who is not root.
	chown 1000:1000 /etc/dockfw/dockfw.toml
	chmod 600 /etc/dockfw/dockfw.toml
	confined $command
	dockfw diff
	dockfw status --json | grep -q "\"engine\": *\"$backend\""
	# It knows a way back.
	[ -s /var/lib/dockfw/state.json ]
done
