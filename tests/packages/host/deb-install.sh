said=$(dpkg -i "$(deb)")
echo "$said"
echo "$said" | grep -q '5. systemctl enable dockfw'
kernel_is_clean
[ -z "$(find /etc/systemd -name 'dockfw*')" ] || die 'the unit is enabled'
dockfw --version
# What is installed can't shut anybody out.
exits 6 dockfw apply
kernel_is_clean
write_policy 80
dockfw check
dockfw apply
dockfw diff
