dpkg -i "$(deb)"
write_policy 80
dockfw apply
dpkg -r dockfw
kernel_is_clean
grep -q '80/tcp' /etc/dockfw/dockfw.toml || die 'the policy file is gone'
left=$(find / -xdev -path /var/lib/dpkg -prune -o -name '*dockfw*' -print)
[ "$left" = /etc/dockfw"
"/etc/dockfw/dockfw.toml ] || die "left behind: $left"
