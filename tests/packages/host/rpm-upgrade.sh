command -v rpm >/dev/null || skip 'no rpm here'
rm -rf /etc/dockfw /var/lib/dockfw
rpm --initdb
said=$(rpm -i --nodeps "$(rpm_file)")
echo "$said"
echo "$said" | grep -q '5. systemctl enable dockfw'
kernel_is_clean
[ -z "$(find /etc/systemd -name 'dockfw*')" ] || die 'the unit is enabled'
exits 6 /usr/sbin/dockfw apply
write_policy 80
dockfw apply
before=$(table_handle)
# The same version again: rpm runs the scripts of an upgrade.
said=$(rpm -U --force --nodeps "$(rpm_file)")
echo "$said"
echo "$said" | grep -q 'in force'
[ "$(table_handle)" = "$before" ] || die 'the table was taken out for a moment'
grep -q '80/tcp' /etc/dockfw/dockfw.toml || die 'the policy was replaced'
rpm -V --nodeps dockfw | grep -v '/etc/dockfw/dockfw.toml' && die 'files are not what the package says'

# What is not in force yet is not put in force by an upgrade.
write_policy 81
rpm -U --force --nodeps "$(rpm_file)"
exits 7 dockfw diff
