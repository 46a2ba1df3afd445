property() { systemctl show --property="$2" --value "$1"; }
is_in_force() { dockfw diff >/dev/null 2>&1; }
# Waits until the policy is in force and nothing is under way.
comes_back() {
	deadline=$(($(date +%s) + 30))
	until [ -z "$(systemctl list-jobs --no-legend 'dockfw*' 'nftables*')" ] && is_in_force; do
		[ "$(date +%s)" -lt "$deadline" ] || die "the policy is not in force after $*: $(systemctl status 'dockfw*' 2>&1)"
	done
	echo "in force after $*"
}

# What began the network at boot found it in force.
[ "$(cat /run/found)" = 0 ] || die "not in force when the network began: $(journalctl -b --no-pager | tail -n 50)"
comes_back 'the boot'
[ "$(property dockfw ActiveState)" = active ]

# Questions start no Docker, neither at boot nor later.
[ "$(property docker.socket ActiveState)" = active ]
dockfw status
[ -z "$(systemctl list-jobs --no-legend docker.service)" ]
[ "$(property docker.service ActiveState)" = inactive ] || die 'Docker was started'
[ ! -e /run/docker-was-started ]

# Stopping the unit changes nothing.
systemctl stop dockfw
is_in_force || die 'the policy is gone with the unit'
systemctl start dockfw

# Whatever way other rules come: these begin with a flush of everything.
grep -q '^flush ruleset' /etc/nftables.conf
for how in restart reload; do
	systemctl "$how" nftables
	comes_back "$how"
done
systemctl stop nftables
kernel_is_clean
systemctl start nftables
comes_back 'start'
# However often: systemd has a limit for each unit.
for time in 1 2 3 4 5 6; do
	systemctl reset-failed nftables
	systemctl restart nftables
	comes_back "restart $time"
done

# A policy file that is broken: the one before is in force in its place, and the unit says so.
before=$(table_handle)
echo 'trusted = [' >>/etc/dockfw/dockfw.toml
fails systemctl restart dockfw
[ "$(property dockfw ActiveState)" = failed ]
[ "$(table_handle)" = "$before" ]
# And that one comes back as well.
systemctl restart nftables
deadline=$(($(date +%s) + 30))
while kernel_is_clean; do [ "$(date +%s)" -lt "$deadline" ] || die 'the host is open'; done
nft list table inet dockfw | grep -q 80

# Status names the failure, and an apply that is not a unit's own mends it. (This script is run by a unit.)
dockfw status 2>/dev/null | grep -q '^dockfw.service has failed' || die "$(dockfw status 2>&1)"
write_policy 81
dockfw apply
[ "$(property dockfw ActiveState)" = failed ] || die 'an apply by a unit waited for another unit'
env -u INVOCATION_ID dockfw apply
[ "$(property dockfw ActiveState)" = active ] || die "$(systemctl status dockfw 2>&1)"
dockfw diff
systemctl stop dockfw
dockfw status | grep -q '^dockfw.service is stopped'
env -u INVOCATION_ID dockfw apply
[ "$(property dockfw ActiveState)" = active ]

# No boot would start it: that is said, and undone.
systemctl disable dockfw
exits 7 dockfw status --strict
[ "$(dockfw apply 2>&1 | tail -n 1)" = '  help: to put the policy in force at each boot: systemctl enable dockfw' ]
[ "$(dockfw status | tail -n 1)" = '  help: to put the policy in force at each boot: systemctl enable dockfw' ]
dockfw apply --enable
[ "$(systemctl is-enabled dockfw)" = enabled ]
[ "$(systemctl is-enabled dockfw-again)" = enabled ]
systemctl disable dockfw
write_policy 82
dockfw apply --enable --confirm 1h --detach
[ "$(systemctl is-enabled dockfw)" = disabled ] || die 'a trial enabled it'
dockfw confirm
[ "$(systemctl is-enabled dockfw)" = enabled ]

# Of a unit that is enabled from before, an installation says that it begins with the next boot.
dpkg -r dockfw
kernel_is_clean
said=$(dpkg -i "$(deb)")
echo "$said"
echo "$said" | grep -q 'is enabled, but the policy of /etc/dockfw is not in force before the next boot'
kernel_is_clean

# A removal takes the unit with it, and a purge what enabling it made.
dpkg -P dockfw
kernel_is_clean
# What systemd knows of a unit stays: policy-rc.d kept dpkg from stopping it.
left=$(find /etc /run /var/lib -path /etc/packages -prune -o -path /var/lib/dpkg -prune -o -path /run/systemd/propagate -prune \
	-o -path /run/systemd/units -prune -o -name '*dockfw*' -print)
[ -z "$left" ] || die "left behind: $left"
