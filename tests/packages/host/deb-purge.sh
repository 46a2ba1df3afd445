all_files >/tmp/before
dpkg -i "$(deb)"
write_policy 80
echo '203.0.113.7' >/etc/dockfw/list.txt
echo 'trusted = ["file:../list.txt"]' >/etc/dockfw/conf.d/office.toml
dockfw apply
dpkg -P dockfw
kernel_is_clean
all_files | diff /tmp/before -
