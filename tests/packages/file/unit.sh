command -v systemd-analyze >/dev/null || skip 'no systemd-analyze here'
dpkg-deb -x "$(deb)" "$TEMP/root"
# A root needs the units and the program that are referred to.
mkdir -p "$TEMP/root/bin"
cp /bin/systemctl "$TEMP/root/bin/"
for directory in /usr/lib/systemd /lib/systemd; do
	[ ! -d "$directory/system" ] || { mkdir -p "$TEMP/root/$directory"; cp -rn "$directory/system" "$TEMP/root/$directory/"; }
done
units=$TEMP/root/usr/lib/systemd/system
unit=$units/dockfw.service
said=$(systemd-analyze verify --man=no --root="$TEMP/root" dockfw.service dockfw-again.service 2>&1) || die "$said"
echo "$said" | grep dockfw && die 'the units are faulty'
# From 0 to 10, less is better. What is left is what a firewall does.
systemd-analyze security --offline=true --threshold=30 "$unit" >"$TEMP/score" || die "$(cat "$TEMP/score")"
tail -n 1 "$TEMP/score" | sed 's/^/note: /'

# In force before any interface is up, and put in force again by whatever flushes the rules.
grep -q '^Before=network-pre.target docker.service' "$unit"
grep -q '^Wants=network-pre.target' "$unit"
fails grep -q '^ExecStop' "$unit"
for other in nftables firewalld iptables; do
	for key in After ReloadPropagatedFrom; do grep -q "^$key=.*\\b$other.service" "$unit"; done
	for key in After WantedBy; do grep -q "^$key=.*\\b$other.service" "$units/dockfw-again.service"; done
done
