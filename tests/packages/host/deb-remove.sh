dpkg -i "$(deb)"
write_policy 80
dockfw apply
dpkg -r dockfw
kernel_is_clean
grep -q '80/tcp' /etc/dockfw/dockfw.toml || die 'the policy file is gone'
# What Debian keeps of a unit until the purge: that it is masked.
[ "$(readlink /etc/systemd/system/dockfw.service)" = /dev/null ]
left=$(find / -xdev -path /var/lib/dpkg -prune -o -path /var/lib/systemd -prune -o -name '*dockfw*' -type f -print)
[ "$left" = /etc/dockfw/dockfw.toml ] || die "left behind: $left"
